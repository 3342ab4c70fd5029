"""What hosts said of themselves on the topic `status`, and which of them are gone; fed by whoever reads the topic.

Each supervisor writes a record once a second. A host's silence is measured by the reader's own clock, from the moment
the reader read the host's last record. Only for records older than the reader is the record's timestamp used, and only
if it lies within the last 5 s: clocks differ, so a host whose record is older, or from the future, counts as gone until
its next record, which takes a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from standfast.core.consumed import Consumed
from standfast.core.status import SystemStatus

GONE_S = 5.0
_AHEAD_S = 1.0  # how far in the future a record's timestamp may lie: clocks differ
_AWAY_S = 2.5  # with no answer of Kafka for longer, it was away; readers ask within 2.2 s of silence
_log = structlog.get_logger()


class HostSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One host's last status.

    `silent_s` counts only time in which Kafka answered. `gone`: silent for 5 s, or its only record is of unknown age.
    """

    host: str
    silent_s: float
    gone: bool
    status: SystemStatus


@dataclass(slots=True)
class _Heard:
    status: SystemStatus
    at: float  # monotonic seconds


class HostsHeard:
    """The last status of each host. Not thread-safe."""

    def __init__(self) -> None:
        self._ends: Mapping[int, int] = {}
        self._hosts: dict[str, _Heard] = {}
        self._doubted: set[str] = set()  # hosts whose only record is of unknown age
        self.abreast_at = time.monotonic()  # when all records so far were last known to be read

    @property
    def doubts(self) -> bool:
        """Whether the only record of a host is of unknown age."""
        return bool(self._doubted)

    def begin(self, ends: Mapping[int, int]) -> None:
        """The reader begins now; `ends` are the topic's end offsets, by partition."""
        self._ends = dict(ends)

    def hosts(self) -> list[HostSeen]:
        """Every host with a record, by name. While Kafka does not answer, no host becomes gone."""
        return [self._seen(host, heard) for host, heard in sorted(self._hosts.items())]

    def take(self, message: Consumed) -> SystemStatus | None:
        """A record of the topic; the status in it, None for a host that left or a record that cannot be read."""
        host = (message.key() or b"").decode("utf-8", "replace")
        value = message.value()
        if value is None:
            self._hosts.pop(host, None)
            self._doubted.discard(host)
            return None
        try:
            status = msgspec.json.decode(value, type=SystemStatus)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _log.warning("a host's status cannot be read", host=host[:100], error=str(error)[:300])
            return None
        self._hear(host, status, self._written_at(message))
        return status

    def is_abreast(self) -> None:
        """Kafka answered and all records so far are read; its own silence is not counted as the hosts'."""
        now = time.monotonic()
        if now - self.abreast_at > _AWAY_S:
            for heard in self._hosts.values():
                if self.abreast_at - heard.at < GONE_S:
                    heard.at = now
        self.abreast_at = now

    def _hear(self, host: str, status: SystemStatus, at: float | None) -> None:
        self._doubted.discard(host)
        if at is None:
            self._doubted.add(host)
        self._hosts[host] = _Heard(status, time.monotonic() - GONE_S if at is None else at)

    def _written_at(self, message: Consumed) -> float | None:
        """When the record was written, in the reader's monotonic seconds; None if that is not known."""
        now = time.monotonic()
        if message.offset() >= self._ends.get(message.partition(), 0):
            return now
        age = time.time() - message.timestamp()[1] / 1000
        return now - max(age, 0.0) if -_AHEAD_S <= age < GONE_S else None

    def _seen(self, host: str, heard: _Heard) -> HostSeen:
        silent = max(0.0, self.abreast_at - heard.at)
        gone = host in self._doubted or silent >= GONE_S
        return HostSeen(host=host, silent_s=round(silent, 3), gone=gone, status=heard.status)
