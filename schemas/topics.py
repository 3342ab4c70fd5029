"""The topic table. Only topics in it are created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.records import (
    CatalogueItem,
    DrillCommand,
    DrillEvent,
    HostStatus,
    Interaction,
    Label,
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
# A dead letter is the original record and up to 64 KiB of headers that tell where it is from.
_DEAD_LETTER_ROOM = 65_536
# max.message.bytes limits a batch as it is stored. Stored compressed, a record of 400 KiB became 400 MiB in each client
# that fetched it: its partition stood still for 19 s, or its worker was killed.
UNPACKED = "compression.type"
# Each host writes its status once a second, about 2 KB. Kafka compacts closed segments only, and by default closes one
# after a week; closed every minute, a host's records take 0.2 MB. A host that was killed for good is deleted
# after a day: each container that ever ran is a host. LogAppendTime, because the clocks of hosts differ.
_WRITTEN_OFTEN = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(_DAY),
    "segment.ms": "60000",
    "delete.retention.ms": "60000",
    "message.timestamp.type": "LogAppendTime",
}
# A tombstone must stay: a product of a trained version would come back on each host that reads the topic after Kafka
# has forgotten that it was deleted, by default a day later. LogAppendTime, because the newest record of a product
# counts also where its records are in two partitions, after one was added.
_FOR_EVER = {
    "delete.retention.ms": str(100 * 365 * _DAY),
    "message.timestamp.type": "LogAppendTime",
}
# Chunks are sent when a host lacks a version, and deleted once no host does. What a killed host has left is gone
# after a day; whoever misses it then asks again.
_SENT_AND_TAKEN = {**_WRITTEN_OFTEN, "segment.bytes": str(64 << 20)}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be. `partitions` None: as many as `kafka.partitions` says; `value` None: raw bytes.

    `unpacked`: the broker decompresses batches, and refuses one that is then larger than `max_bytes`.
    `optional`: where it cannot be created, all but one feature works.
    `broker_config`: topic configs besides those that follow from the other fields.
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
    optional: bool = False
    broker_config: Mapping[str, str] = field(default_factory=dict, hash=False)

    def config(self) -> dict[str, str]:
        """The topic's configs on the broker."""
        return {**self.needed_config(), **({UNPACKED: "uncompressed"} if self.unpacked else {}), **self.broker_config}

    def needed_config(self) -> dict[str, str]:
        """The configs that it needs; where a Kafka service refuses the others, the topic has only these."""
        config = {"cleanup.policy": "compact"}
        if not self.compacted:
            # Set, because a cluster's default may be to compact, which deletes requests with equal keys.
            config = {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        config["max.message.bytes"] = str(self.max_bytes)
        return config

    def dead_letters(self) -> Topic:
        """The topic for those of its records that cannot be decoded or served."""
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
    Topic(
        "catalogue",
        "item_id",
        CatalogueItem,
        "products that are new, changed or (without a value) deleted",
        compacted=True,
        unpacked=True,
        broker_config=_FOR_EVER,
    ),
    Topic(
        "models",
        "version, or model and alias",
        None,
        "versions of models, and which of them serves on all hosts (JSON)",
        partitions=1,
        compacted=True,
        unpacked=True,
        optional=True,
        broker_config={"message.timestamp.type": "LogAppendTime"},
    ),
    Topic("drills.control", "any", DrillCommand, "start, stop, approve or forbid drills", partitions=1, unpacked=True),
)
_WRITTEN_BY_US = (
    *_RESULTS,
    Topic("profiles", "user_id", Profile, "each user's recent history", compacted=True),
    Topic("labels", "what it says", Label, "what users did with the products of answers", compacted=True,
          broker_config={"cleanup.policy": "compact,delete", "retention.ms": str(30 * _DAY)}),
    Topic("traffic", "topic", TrafficWindow, "counts and latency by topic and window", retention_ms=_DAY),
    Topic("drills.results", "drill_id", DrillEvent, "every phase of every drill, the verdict last", partitions=1,
          retention_ms=365 * _DAY),
    Topic("drills.orders", "drill_id and host", None, "orders to the fault agents, and what they saw", partitions=1,
          compacted=True, broker_config=_WRITTEN_OFTEN),
    Topic("models.files", "file's digest and chunk", None, "files of versions, while a host lacks them", partitions=1,
          compacted=True, optional=True, broker_config=_SENT_AND_TAKEN),
    Topic(STATUS, "host", HostStatus, "each host's `standfast status --json`, until it is silent for a day",
          partitions=1, compacted=True, broker_config=_WRITTEN_OFTEN),
)  # fmt: skip

_BULK = tuple(
    replace(topic, name=topic.name + BULK_SUFFIX, about=f"{topic.about}, when there is nothing more urgent to do")
    for topic in (*_REQUESTS, *_RESULTS)
)

TABLE: tuple[Topic, ...] = (
    *_READ_BY_US,
    *_WRITTEN_BY_US,
    *_BULK,
    *(topic.dead_letters() for topic in _READ_BY_US if not topic.compacted),
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TABLE}
