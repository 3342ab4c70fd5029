"""A host without a model of its own takes the system's before it trains any."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from consumers.following import bulletin
from consumers.versions.follower import VersionFollower
from schemas.codec import Codec
from standfast.core import logs
from standfast.core.processes.lifeline import stop_event
from standfast.core.settings import load

_WITHIN_S = 120.0  # a version of 100 MB takes a few seconds; without it the host trains its own


def join(names: Sequence[str]) -> int:
    """Serves from now on what the topic names of these models, if it names any; returns the exit code."""
    settings = load()
    logs.configure(settings.log, "models")
    stop = stop_event()
    limit = threading.Timer(_WITHIN_S, stop.set)
    limit.daemon = True
    limit.start()
    VersionFollower(settings, Codec(), bulletin.store_folder(VersionFollower.name), stop).join(set(names))
    return 0
