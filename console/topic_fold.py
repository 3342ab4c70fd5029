"""Folds the records of `status` and `drills.results` into snapshots; pure but for the clock."""

from __future__ import annotations

import time
from collections import deque

import msgspec
import structlog

from console.owners import Owners
from console.snapshot import Snapshot
from drills.control.outcomes import TOPIC as DRILLS
from drills.control.outcomes import outcome_in
from drills.reports.report import Story, stories
from schemas.codec import Codec
from schemas.records import DrillEvent
from standfast.core.consumed import Consumed
from standfast.core.errors import SchemaError
from standfast.core.hosts.hosts_heard import HostsHeard
from standfast.core.status import TakeoverStatus

MOST_EVENTS = 5000  # of drills, some six hundred of them
_MOST_TAKEOVERS = 50
_log = structlog.get_logger()


class TopicFold:
    """What the records so far tell. Fed by one thread; the snapshots may go to any."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.heard = HostsHeard()
        self._codec = Codec()
        self._positions: dict[tuple[str, int], int] = {}
        self._takeovers: dict[tuple[str, int, str], tuple[str, TakeoverStatus]] = {}
        self._owners = Owners()
        self._events: deque[DrillEvent] = deque(maxlen=MOST_EVENTS)
        self._drills: tuple[Story, ...] | None = ()
        self._number = 0

    def take(self, message: Consumed) -> None:
        """Takes in one record, in the order of its partition."""
        place = (message.topic().removeprefix(self._prefix), message.partition())
        self._positions[place] = message.offset() + 1
        if place[0] == DRILLS:
            self._take_event(message)
        else:
            self._take_status(message)

    def snapshot(self, problem: str) -> Snapshot:
        """What is known now."""
        self._number += 1
        if self._drills is None:
            self._drills = tuple(reversed(stories(self._events)))
        newest = sorted(self._takeovers.values(), key=lambda pair: -pair[1].at)
        return Snapshot(
            number=self._number,
            positions=" ".join(f"{topic}/{number}={at}" for (topic, number), at in sorted(self._positions.items())),
            problem=problem,
            abreast_at=self.heard.abreast_at,
            hosts=tuple(self.heard.hosts()),
            takeovers=tuple(newest[:_MOST_TAKEOVERS]),
            drills=self._drills,
            held=self._owners.held(time.time_ns() // 1_000_000),
        )

    def _take_status(self, message: Consumed) -> None:
        host = (message.key() or b"").decode("utf-8", "replace")
        status = self.heard.take(message)
        if status is None and message.value() is not None:
            return
        self._owners.take(host, status, status.at if status is not None else message.timestamp()[1])
        for takeover in status.takeovers if status is not None else ():
            self._takeovers[host, takeover.at, takeover.worker] = (host, takeover)
        for oldest in sorted(self._takeovers, key=lambda key: key[1])[:-_MOST_TAKEOVERS]:
            del self._takeovers[oldest]

    def _take_event(self, message: Consumed) -> None:
        try:
            event = outcome_in(message, self._codec).event
        except SchemaError as error:
            _log.debug("not a drill event", offset=message.offset(), error=str(error))
            return
        self._events.append(msgspec.structs.replace(event, intent=None))
        self._drills = None
