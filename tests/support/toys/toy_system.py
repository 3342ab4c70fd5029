"""`standfast up` with toy models instead of trained ones; supervisor, nurseries and workers are the product's.

Run as `python -m tests.support.toys.toy_system SERVICE …`; settings come from the environment. The file `toy-version`
in the state folder has the active version of the model (1 without the file), `toy-canary` its challenger if any.
"""

from __future__ import annotations

import os
import sys

import msgspec

from consumers.process import nursery
from models import registry
from models.activations import Activation
from models.canary import Canary, Versions
from standfast import system
from standfast.core import settings
from standfast.core.home import home
from standfast.core.keeping import write_whole
from standfast.core.processes.parent_death import tie_to_parent
from tests.support.toys.toy_nursery import active_version


def toy_command(name: str, versions: Versions, channel: int) -> list[str]:
    """Replaces `consumers.process.nursery.command`."""
    return [sys.executable, "-m", "tests.support.toys.toy_nursery", *nursery.arguments(name, versions), str(channel)]


def toy_active(name: str) -> int | None:
    """Replaces `models.registry.active`: all services have the same version."""
    return active_version()


def toy_activation(name: str) -> Activation:
    """Replaces `models.registry.activation`; the files are written by `Toys`."""
    file, ended = home() / "toy-canary", home() / "toy-ended"
    canary = msgspec.json.decode(file.read_bytes(), type=Canary) if file.exists() else None
    return Activation(active_version(), canary=canary, ended=ended.read_text() if ended.exists() else "")


def toy_end_canary(name: str, canary: Canary, reason: str) -> bool:
    """Replaces `models.registry.end_canary`."""
    if not canary.is_same(toy_activation(name).canary):
        return False
    write_whole(home() / "toy-ended", reason.encode())
    (home() / "toy-canary").unlink()
    return True


def toy_versions(name: str) -> range:
    """Replaces `models.registry.versions`: toys have no files."""
    return range(1, 1000)


def toy_served_before(name: str, version: int) -> list[int]:
    """Replaces `models.registry.served_before`: every lower version has served."""
    return list(range(version - 1, 0, -1))


def main(services: list[str], *, embedded: bool = False, roles: tuple[str, ...] = ()) -> None:
    tie_to_parent(os.getppid())
    nursery.SHARED = ()  # toys need no torch
    nursery.command = toy_command
    registry.active = toy_active
    registry.activation = toy_activation
    registry.end_canary = toy_end_canary
    registry.versions = toy_versions
    registry.served_before = toy_served_before
    system.run(settings.load(), services=tuple(services), roles=roles, embedded=embedded)


if __name__ == "__main__":
    main(sys.argv[1:])
