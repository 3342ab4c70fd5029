"""A follower as a role: the process that the supervisor starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from consumers.following import bulletin
from consumers.following.follower import TopicCopier
from schemas.codec import Codec
from schemas.configured import codec_for
from standfast.core import logs
from standfast.core.errors import StandfastError
from standfast.core.processes import role_word
from standfast.core.processes.lifeline import stop_event
from standfast.core.settings import Settings, load

Follow = Callable[[Settings, Codec, Path, threading.Event], TopicCopier[Any]]


def follow(name: str, follower: Follow) -> int:
    """Follows the topic `name` until SIGTERM or SIGINT; returns the exit code."""
    try:
        settings = load()
        logs.configure(settings.log, name)
        stopping = stop_event()
        role_word.begun()
        follower(settings, codec_for(settings), bulletin.store_folder(name), stopping).run()
    except StandfastError as error:
        role_word.ends(str(error))
        structlog.get_logger().error(f"{name} cannot be followed", reason=str(error))
        return error.exit_code
    return 0
