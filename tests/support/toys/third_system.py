"""`standfast up` with `third_service` in the table of services.

Run as `python -m tests.support.toys.third_system` for the supervisor, which starts nurseries from the same module. This
service needs neither the shop nor the encoder that training loads, so its model is published here.
"""

from __future__ import annotations

import os
import sys

from models.canary import Versions
from standfast.core import services
from tests.support.toys.third_service import SPEC, train

services.TABLE[SPEC.name] = SPEC
services.NAMES = tuple(services.TABLE)


def third_command(name: str, versions: Versions, channel: int) -> list[str]:
    """Replaces `consumers.process.nursery.command`: the same in a process that knows the third service."""
    words = [name, str(os.getpid()), str(versions), str(channel)]
    return [sys.executable, "-m", "tests.support.toys.third_system", *words]


def main() -> None:
    from consumers.process import nursery
    from models import registry
    from standfast import system
    from standfast.core import settings
    from standfast.core.processes.parent_death import tie_to_parent

    tie_to_parent(os.getppid())
    nursery.SHARED = ()  # forked from a process without the third service, it would not be known
    nursery.command = third_command
    manifest = registry.publish(SPEC.name, lambda folder: train(None, folder, None, None))
    registry.activate(SPEC.name, manifest.version)
    system.run(settings.load(), services=(SPEC.name,), roles=(), embedded=False)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        from consumers.process.nursery import main as serve

        sys.exit(serve(sys.argv[1:]))
    main()
