"""`python -m consumers.profiles`: the follower, as the supervisor starts it."""

from __future__ import annotations

import sys

import structlog

from consumers.profiles import bulletin
from consumers.profiles.follower import Follower
from schemas.configured import codec_for
from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stop_event
from standfast.core.settings import Settings, load


def run(settings: Settings) -> None:
    """Follows the topic until SIGTERM or SIGINT."""
    stopping = stop_event()
    role_word.begun()
    Follower(settings, codec_for(settings), bulletin.store_folder(), stopping).run()


def main() -> int:
    """Runs the follower; returns the exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "profiles")
        run(settings)
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error("profiles cannot be followed", reason=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
