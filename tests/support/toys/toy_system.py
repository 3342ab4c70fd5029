"""`standfast up` with toy models instead of trained ones; supervisor, nurseries and workers are the product's.

Run as `python -m tests.support.toys.toy_system SERVICE …`; settings come from the environment. The file `toy-version`
in the state folder has the active version of the model (1 without the file).
"""

from __future__ import annotations

import os
import sys

from consumers.process import nursery
from models import registry
from standfast import system
from standfast.core import settings
from standfast.core.processes.parent_death import tie_to_parent
from tests.support.toys.toy_nursery import active_version


def toy_command(name: str, version: int, channel: int) -> list[str]:
    """Replaces `consumers.process.nursery.command`."""
    return [sys.executable, "-m", "tests.support.toys.toy_nursery", *nursery.arguments(name, version), str(channel)]


def toy_active(name: str) -> int | None:
    """Replaces `models.registry.active`: all services have the same version."""
    return active_version()


def toy_served_before(name: str, version: int) -> list[int]:
    """Replaces `models.registry.served_before`: every lower version has served."""
    return list(range(version - 1, 0, -1))


def main(services: list[str], *, embedded: bool = False, roles: tuple[str, ...] = ()) -> None:
    tie_to_parent(os.getppid())
    nursery.SHARED = ()  # toys need no torch
    nursery.command = toy_command
    registry.active = toy_active
    registry.served_before = toy_served_before
    system.run(settings.load(), services=tuple(services), roles=roles, embedded=embedded)


if __name__ == "__main__":
    main(sys.argv[1:])
