"""The topic table: every topic there is, and nothing is created that is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.records import (
    DrillCommand,
    DrillEvent,
    HostStatus,
    Interaction,
    Profile,
    Record,
    Result,
    TrafficWindow,
)
from standfast.core.services import TABLE as SERVICES
from standfast.core.services import resolved
from standfast.core.status import TOPIC as STATUS

_HOUR = 3_600_000
_DAY = 24 * _HOUR
DEAD_LETTER_SUFFIX = ".dlq"
BULK_SUFFIX = ".bulk"
# A dead letter is the original and up to 64 KiB of headers that say where it came from.
_DEAD_LETTER_ROOM = 65_536
# A limit of a topic is one of what is stored. Stored as it came, a record of 400 KiB became 400 MiB in every client
# that fetched it, before one of ours could look at it: partitions stood still for 19 s, or their workers were killed.
UNPACKED = "compression.type"
# Every host says once a second how it is, some 2 KB each time. Kafka compacts closed segments only, and closes one
# after a week; closed once a minute, a host takes 0.2 MB. A host that was killed and never comes back is forgotten
# after a day: of containers there is one for each that ever ran. The broker's clock dates them: hosts' clocks differ.
_SAID_OFTEN = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(_DAY),
    "segment.ms": "60000",
    "delete.retention.ms": "60000",
    "message.timestamp.type": "LogAppendTime",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be. `partitions` None: as many as `kafka.partitions` says; `value` None: raw bytes.

    `unpacked`: the broker unpacks what clients compress, and refuses a batch that is then larger than `max_bytes`.
    `further`: settings on the broker besides those that follow from the other fields.
    """

    name: str
    key: str
    value: type[Record] | None
    about: str
    partitions: int | None = None
    retention_ms: int = 7 * _DAY
    compacted: bool = False
    max_bytes: int = 1_048_576
    unpacked: bool = False
    further: Mapping[str, str] = field(default_factory=dict, hash=False)

    def config(self) -> dict[str, str]:
        """The topic's settings on the broker."""
        return {**self.needed_config(), **({UNPACKED: "uncompressed"} if self.unpacked else {}), **self.further}

    def needed_config(self) -> dict[str, str]:
        """Those that it cannot do without: all that it has on a Kafka that lets nobody choose the others."""
        kept = {"cleanup.policy": "compact"}
        if not self.compacted:  # said, because a cluster's own default may be to compact: requests of one key would go
            kept = {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        kept["max.message.bytes"] = str(self.max_bytes)
        return kept

    def dead_letters(self) -> Topic:
        """The topic for those of its records that cannot be served."""
        return Topic(
            name=self.name + DEAD_LETTER_SUFFIX,
            key="as received",
            value=None,
            about=f"what could not be decoded or served from {self.name}",
            partitions=1,
            retention_ms=30 * _DAY,
            max_bytes=self.max_bytes + _DEAD_LETTER_ROOM,
        )


_REQUESTS = tuple(
    Topic(f"{spec.name}.requests", spec.key, resolved(spec.request), spec.about, unpacked=True)
    for spec in SERVICES.values()
)
_RESULTS = tuple(Topic(f"{name}.results", "as the request", Result, f"answers to {name}.requests") for name in SERVICES)
_READ_BY_US = (
    *_REQUESTS,
    Topic(
        "interactions",
        "user_id",
        Interaction,
        "views, clicks, carts, purchases, ratings",
        retention_ms=30 * _DAY,
        unpacked=True,
    ),
    Topic("drills.control", "any", DrillCommand, "start or abort a drill", partitions=1, unpacked=True),
)
_WRITTEN_BY_US = (
    *_RESULTS,
    Topic("profiles", "user_id", Profile, "each user's recent history", compacted=True),
    Topic("traffic", "topic", TrafficWindow, "counts and latency by topic and window", retention_ms=_DAY),
    Topic("drills.results", "drill_id", DrillEvent, "every phase of every drill, the verdict last", partitions=1,
          retention_ms=365 * _DAY),
    Topic(STATUS, "host", HostStatus, "what each host's `standfast status --json` shows, until it is silent for a day",
          partitions=1, compacted=True, further=_SAID_OFTEN),
)  # fmt: skip

_BULK = tuple(
    replace(topic, name=topic.name + BULK_SUFFIX, about=f"{topic.about}, when there is nothing more urgent to do")
    for topic in (*_REQUESTS, *_RESULTS)
)

TABLE: tuple[Topic, ...] = (
    *_READ_BY_US,
    *_WRITTEN_BY_US,
    *_BULK,
    *(topic.dead_letters() for topic in _READ_BY_US),
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TABLE}
