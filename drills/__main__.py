"""`python -m drills`: the drill runner, as the supervisor starts it."""

from __future__ import annotations

import sys

import structlog

from drills.main import run
from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.locating import located
from standfast.core.settings import load

__all__ = ["main", "run"]


def main() -> int:
    """Runs the drill runner and returns its exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "drills")
        run(located(settings))
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error("the drill runner ends", error=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
