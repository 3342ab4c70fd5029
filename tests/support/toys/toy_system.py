"""`standfast up` with toy models in the place of the trained ones: all its processes are the real thing.

Run as `python -m tests.support.toys.toy_system SERVICE …`; settings come from the environment. A file `toy-version` in
the state folder says which version of the model is active (1 without it).
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


def toy_command(name: str, channel: int, version: int) -> list[str]:
    """In the place of `consumers.process.nursery.command`."""
    return [sys.executable, "-m", "tests.support.toys.toy_nursery", name, str(channel), str(os.getpid()), str(version)]


def toy_active(name: str) -> int | None:
    """In the place of `models.registry.active`: all services have one version."""
    return active_version()


def main(services: list[str], *, embedded: bool = False, roles: tuple[str, ...] = ()) -> None:
    tie_to_parent(os.getppid())
    nursery.command = toy_command
    registry.active = toy_active
    system.run(settings.load(), services=tuple(services), roles=roles, embedded=embedded)


if __name__ == "__main__":
    main(sys.argv[1:])
