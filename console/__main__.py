"""`python -m console`: the console, as the supervisor starts it."""

from __future__ import annotations

import sys

import structlog

from console.server import run
from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.locating import located
from standfast.core.settings import load


def main() -> int:
    """Serves the console and returns its exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "console")
        run(located(settings))
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error("the console ends", error=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
