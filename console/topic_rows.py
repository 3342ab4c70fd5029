"""The topics of the system with their offsets, and the dead letters; asked of Kafka when somebody wants to see them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from consumers.service import service
from schemas.topics import BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core import clients
from standfast.core.kafka_errors import error_of
from standfast.core.services import NAMES
from standfast.core.settings import Settings

_WITHIN_S = 3.0
_KEPT_S = 1.0  # so long one answer is good for all who ask
Place = tuple[str, int]
Offsets = Mapping[Place, int]


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition's first offset, its end, the end of what is committed to it, and what its group has committed."""

    number: int
    first: int | None
    end: int | None
    stable: int | None = None
    committed: int | None = None

    @property
    def lag(self) -> int | None:
        """Records that a worker could read and has not; None where no group reads, or nobody knows."""
        if self.stable is None or self.committed is None:
            return None
        return max(0, self.stable - self.committed)


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One topic; `name` is the full one."""

    name: str
    about: str
    dead_letters: bool
    partitions: tuple[PartitionRow, ...]

    @property
    def end(self) -> int:
        """The sum of the ends of its partitions."""
        return sum(part.end or 0 for part in self.partitions)

    @property
    def kept(self) -> int:
        """Offsets that are kept; some of them are marks of transactions."""
        return sum((part.end or 0) - (part.first or 0) for part in self.partitions)

    @property
    def lags(self) -> bool:
        """Whether a group of ours reads it."""
        return self.lag is not None

    @property
    def lag(self) -> int | None:
        """The lag of all partitions together."""
        known = [part.lag for part in self.partitions if part.lag is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class TopicsSeen:
    """The topics at one time (monotonic). `problem`: why they are no newer."""

    rows: tuple[TopicRow, ...] = ()
    at: float = 0.0
    problem: str = ""


class Topics:
    """Blocks for some seconds where Kafka is away, so call it in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._seen = TopicsSeen()

    @cached_property
    def _admin(self) -> AdminClient:
        """Made when somebody asks for the first time: a client has threads of its own."""
        return AdminClient(clients.base(self._settings, "standfast-console"))

    def seen(self) -> TopicsSeen:
        """The topics now; if Kafka does not answer, those of the last time."""
        with self._lock:
            if time.monotonic() - self._seen.at > _KEPT_S:
                try:
                    self._seen = TopicsSeen(tuple(self._rows()), time.monotonic())
                except (KafkaException, TimeoutError) as error:
                    why = error_of(error).str() if isinstance(error, KafkaException) else "no answer in time"
                    self._seen = TopicsSeen(self._seen.rows, self._seen.at, f"Kafka does not answer: {why}")
            return self._seen

    def _rows(self) -> Iterator[TopicRow]:
        prefix = self._settings.kafka.topic_prefix
        there = self._admin.list_topics(timeout=_WITHIN_S).topics
        ours = {prefix + name: len(there[prefix + name].partitions) for name in BY_NAME if prefix + name in there}
        places = [(name, number) for name, count in ours.items() for number in range(count)]
        groups = self._groups()
        read = [place for place in places if place[0] in groups]
        committed = self._committed(groups, read)  # asked for first and ends last: no lag is below 0 then
        first = self._offsets(places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]
        stable = self._offsets(read, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
        end = self._offsets(places, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)  # type: ignore[no-untyped-call]
        for name, count in sorted(ours.items()):
            numbers = [(name, number) for number in range(count)]
            yield TopicRow(
                name,
                BY_NAME[name.removeprefix(prefix)].about,
                name.endswith(DEAD_LETTER_SUFFIX),
                tuple(
                    PartitionRow(at[1], first.get(at), end.get(at), stable.get(at), committed.get(at)) for at in numbers
                ),
            )

    def _groups(self) -> dict[str, str]:
        """The group that reads each request topic."""
        services = [service(name, self._settings) for name in NAMES]
        return {one.requests: one.group for one in services} | {one.bulk_requests: one.bulk_group for one in services}

    def _offsets(self, places: Iterable[Place], spec: OffsetSpec, isolation: IsolationLevel) -> Offsets:
        asked = {TopicPartition(topic, number): spec for topic, number in places}
        if not asked:
            return {}
        answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=_WITHIN_S)
        return {(at.topic, at.partition): answer.result(_WITHIN_S).offset for at, answer in answers.items()}

    def _committed(self, groups: Mapping[str, str], places: Iterable[Place]) -> Offsets:
        """What each group has committed; 0 for a partition of which it has committed nothing."""
        found: dict[Place, int] = {}
        for topic, group in groups.items():
            wanted = [TopicPartition(topic, number) for name, number in places if name == topic]
            asked = [ConsumerGroupTopicPartitions(group, wanted or None)]
            answer = self._admin.list_consumer_group_offsets(asked, request_timeout=_WITHIN_S)[group].result(_WITHIN_S)
            for at in answer.topic_partitions or ():
                if at.topic == topic:
                    found[topic, at.partition] = max(0, at.offset)
        return found
