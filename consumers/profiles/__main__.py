"""`python -m consumers.profiles`: the follower, as the supervisor starts it."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import structlog

from consumers.profiles import bulletin
from consumers.profiles.follower import Follower
from schemas.codec import Codec
from standfast import logs
from standfast.errors import StandfastError
from standfast.settings import Settings, load


def run(settings: Settings) -> None:
    """Follows the topic until SIGTERM or SIGINT."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    Follower(settings, _codec(settings), bulletin.place(), stopping).run()


def _codec(settings: Settings) -> Codec:
    if settings.schema_registry_url is None:
        return Codec()
    from schemas.registry import SchemaRegistry  # 0.3 s of imports

    return Codec(SchemaRegistry(settings.schema_registry_url.get_secret_value()))


def main() -> int:
    """The exit code."""
    try:
        settings = load()
        logs.configure(settings.log, "profiles")
        run(settings)
    except StandfastError as error:
        structlog.get_logger().error("profiles cannot be followed", reason=str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
