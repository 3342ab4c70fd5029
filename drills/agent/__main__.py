"""`python -m drills.agent`: the fault agent, as the supervisor starts it."""

from __future__ import annotations

import sys

import structlog

from drills.agent.agent import FaultAgent
from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stop_event
from standfast.core.processes.locating import located
from standfast.core.settings import load


def main() -> int:
    """Runs the fault agent and returns its exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "agent")
        FaultAgent(located(settings), stop_event()).run()
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error("the fault agent ends", error=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
