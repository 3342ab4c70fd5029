"""Random records on every topic that the system reads, in every encoding and codec, while the whole system runs.

Each record is answered, set aside or skipped with a log line; no process ends, and afterwards the system is as before.
The slow tests send `STANDFAST_FUZZ_RECORDS` records made from the seed `STANDFAST_FUZZ_SEED`:
`make test ARGS='-m slow -n 0 tests/faults/test_fuzz.py'`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from drills.control.events import FINAL
from drills.control.outcomes import Outcomes
from schemas.codec import Codec
from schemas.records import Interaction, Profile, Record
from schemas.registry import SchemaRegistry
from schemas.times import record_ms
from schemas.topics import TABLE
from standfast.core import clients
from standfast.core.errors import SchemaError
from standfast.core.topics.topic_ids import identity_of
from standfast.system import ROLES
from streams.interactions import check
from tests.support.accounts import Accounts, RecordPosition
from tests.support.desk import Desk, both_ends
from tests.support.fuzzed import Fuzz, Fuzzed
from tests.support.raw_records import CODECS, RawRecord, batch, send
from tests.support.registry import running_registry
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

REQUESTS = ("search.requests", "search.requests.bulk", "recommend.requests", "recommend.requests.bulk")
ANSWERS = ("search.results", "search.results.bulk", "recommend.results", "recommend.results.bulk", "fuzz.replies")
DEAD_LETTERS = tuple(
    f"{topic}.dlq" for topic in ("search.requests", "recommend.requests", "interactions", "drills.control")
)
FOREIGN_RESULTS = ("search.results", "recommend.results")
_READ_BESIDES = ("interactions", "profiles", "drills.control", "drills.results", *FOREIGN_RESULTS)
NO_PROGRESS_S = 120.0  # the test fails after this time without progress
pytestmark = pytest.mark.timeout(900)
# Removed from the environment: the system refuses to start with a STANDFAST_ variable that is no setting.
MANY = int(os.environ.pop("STANDFAST_FUZZ_RECORDS", "1000000"))
SEED = int(os.environ.pop("STANDFAST_FUZZ_SEED", "10"))
_slow = [pytest.mark.slow, pytest.mark.timeout(6 * 3600)]


class Whole(Toys):
    """A toy system with the stream processor, the drill runner and the profiles role."""

    module = "tests.support.toys.toy_whole"


class Sender:
    """Sends random records in every codec, some with headers that our clients cannot write, and keeps what is expected.

    `sent` has each record's position by topic and number, None until it is known; `good` the numbers of readable
    records; `bought` the items by user; `refused` Kafka's error by number.
    """

    def __init__(self, toys: Toys, fuzz: Fuzz, oracle: Codec) -> None:
        self.sent: dict[str, dict[int, RecordPosition | None]] = defaultdict(dict)
        self.good: set[int] = set()
        self.bought: dict[str, set[str]] = defaultdict(set)
        self.refused: dict[int, str] = {}
        self._toys, self._fuzz, self.oracle = toys, fuzz, oracle
        more = {"linger.ms": 5, "queue.buffering.max.kbytes": 65_536}
        self._producers = [
            Producer(clients.producer(toys.settings, "fuzz", **{"compression.type": codec}, **more)) for codec in CODECS
        ]
        self._admin = AdminClient(clients.base(toys.settings, "fuzz"))
        self._chance = random.Random(SEED)

    def send(self, count: int) -> None:
        """Sends `count` records and returns when Kafka has taken or refused each."""
        for number in range(count):
            if number % 400 == 399:
                self._raw(number)
            else:
                self._produce(self._fuzz.record(number))
        for producer in self._producers:
            assert producer.flush(300) == 0

    def _produce(self, fuzzed: Fuzzed) -> None:
        topic, producer = self._toys.topic(fuzzed.topic), self._chance.choice(self._producers)
        self._expect(fuzzed)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.refused[fuzzed.number] = error.name()
                del self.sent[fuzzed.topic][fuzzed.number]
            elif fuzzed.topic not in REQUESTS:
                self.sent[fuzzed.topic][fuzzed.number] = (topic, message.partition(), message.offset())

        while True:
            try:
                producer.produce(
                    topic, fuzzed.value, fuzzed.key, on_delivery=delivered, headers=fuzzed.headers, timestamp=fuzzed.at
                )
            except BufferError:
                producer.poll(0.1)
            else:
                break
        producer.poll(0)

    def _expect(self, fuzzed: Fuzzed, position: RecordPosition | None = None) -> None:
        self.sent[fuzzed.topic][fuzzed.number] = position
        if fuzzed.value is None and fuzzed.topic == "profiles":
            self.good.add(fuzzed.number)  # deletes a user's profile
            return
        record = self._decoded(fuzzed.value, fuzzed.kind)
        if isinstance(record, Interaction):
            try:
                check(record, record_ms(fuzzed.at))
            except SchemaError:
                return
            if fuzzed.right:
                self.bought[record.user_id].add(record.item_id)
        if record is not None:
            self.good.add(fuzzed.number)

    def _decoded(self, value: bytes | None, kind: type[Record]) -> Record | None:
        try:
            return self.oracle.decode(value, kind)[0]
        except SchemaError:
            return None

    def _raw(self, number: int) -> None:
        """Sends a batch of one record whose header names are not UTF-8."""
        fuzzed = self._fuzz.record(number, self._chance.choice([*REQUESTS, *_READ_BESIDES]))
        topic, partition = self._toys.topic(fuzzed.topic), self._chance.randrange(4)
        if fuzzed.topic.startswith("drills."):
            partition = 0
        named = [(name.encode(), value or b"") for name, value in fuzzed.headers] + self._fuzz.odd_names()
        packed = batch([RawRecord(fuzzed.value, fuzzed.key, named)], self._chance.choice(list(CODECS)))
        self._expect(fuzzed)
        self.sent[fuzzed.topic][number] = (topic, partition, send(self._admin, topic, partition, packed))


@pytest.mark.parametrize(
    ("count", "registry"),
    [(1_000, True), pytest.param(MANY, True, marks=_slow), pytest.param(MANY // 10, False, marks=_slow)],
    ids=["short", "registry", "no-registry"],
)
def test_every_record_is_accounted_for_and_nobody_ends_of_any(
    tmp_path: Path, broker: str, unique: str, count: int, registry: bool
) -> None:
    with _system(tmp_path, broker, unique, registry) as (toys, sender):
        before = _processes(toys)
        topics = [toys.topic(topic) for topic in (*ANSWERS, *DEAD_LETTERS)]
        with Accounts(toys.settings, topics) as accounts:
            sender.send(count)
            _accounted(toys, sender, accounts)
        assert _unaccounted_interactions(sender, accounts) == []
        assert _missing_in_profiles(toys, sender) == {}
        assert _unanswered_commands(toys, sender) == set()
        assert _left_without_a_word(toys, sender) == set()
        toys.whole()
        assert (_processes(toys), toys.status().state) == (before, "ready")
        assert [line[:2000] for line in _log(toys) if "Traceback" in line or '"exception"' in line] == []
        assert set(sender.refused.values()) <= {"MSG_SIZE_TOO_LARGE", "INVALID_TIMESTAMP"}


@contextmanager
def _system(home: Path, broker: str, unique: str, registry: bool) -> Iterator[tuple[Toys, Sender]]:
    with running_registry() as running:
        more = {"SCHEMA_REGISTRY_URL": running.url} if registry else {}
        toys = Whole(home / "home", broker, f"{unique}.", ("search", "recommend"), **more)
        codec = _codec(running.url if registry else "", home / "known")
        toys.start()
        wait_until(lambda: _are_running(toys), 60, what="all roles")
        try:
            desk = Desk(toys.settings)
            desk.create("fuzz.replies", 2)
            for topic in TABLE:
                if not topic.compacted:  # otherwise Kafka deletes records with a timestamp of 1970 within minutes
                    desk.configure(topic.name, retention_ms="-1")
            yield toys, Sender(toys, Fuzz(SEED, codec, registry=registry), codec)
        finally:
            toys.stop()


def _codec(url: str, kept_in: Path) -> Codec:
    if not url:
        return Codec()
    kept_in.mkdir()
    ids = SchemaRegistry(url, kept_in)
    for kind in {topic.value for topic in TABLE if topic.value}:
        ids.declare(kind, kind.avro_name)
    return Codec(ids)


def _are_running(toys: Toys) -> bool:
    return {row.id for row in toys.status().roles if row.state == "running"} == set(ROLES) - {"console"}


def _processes(toys: Toys) -> dict[str, tuple[int, int]]:
    seen = toys.status()
    return {row.id: (row.pid, row.restarts) for row in (*seen.workers, *seen.roles)}


def _accounted(toys: Toys, sender: Sender, accounts: Accounts) -> None:
    """Returns when every request is answered or set aside, and the stream processor and drill runner have no lag."""
    unanswered = {number: position for topic in REQUESTS for number, position in sender.sent[topic].items()}

    def left() -> int:
        for number in [number for number, position in unanswered.items() if accounts.know(number, position)]:
            del unanswered[number]
        return len(unanswered)

    def stuck() -> str:
        log = "".join(list(_log(toys))[-60:])
        return f"requests without an answer: {dict(list(unanswered.items())[:20])}\n{toys.status()}\n{log}"

    _progressing(left, stuck)
    _progressing(lambda: _behind(toys, "stream", "interactions"), lambda: "interactions not committed")
    _progressing(lambda: _behind(toys, "drills", "drills.control"), lambda: "commands not committed")


def _progressing(left: Callable[[], int], what: Callable[[], str]) -> None:
    least, since = left(), time.monotonic()
    while least:
        time.sleep(0.2)
        now = left()
        if now < least:
            least, since = now, time.monotonic()
        assert time.monotonic() - since < NO_PROGRESS_S, f"{least} {what()}"


def _behind(toys: Toys, role: str, topic: str) -> int:
    group = f"{toys.settings.kafka.topic_prefix}standfast-{role}"
    consumer = Consumer(clients.consumer(toys.settings, "fuzz", group))
    try:
        name = toys.topic(topic)
        partitions = [
            TopicPartition(name, partition)
            for partition in consumer.list_topics(name, timeout=30).topics[name].partitions
        ]
        ends = {partition.partition: both_ends(consumer, partition)[1] for partition in partitions}
        return sum(
            max(0, ends[committed.partition] - max(0, committed.offset))
            for committed in consumer.committed(partitions, timeout=30)
        )
    finally:
        consumer.close()


def _unaccounted_interactions(sender: Sender, accounts: Accounts) -> list[int]:
    """Numbers of interactions that were neither counted nor set aside, or both."""
    sent = sender.sent["interactions"]
    return [number for number, position in sent.items() if accounts.know(number, position) == (number in sender.good)]


def _missing_in_profiles(toys: Toys, sender: Sender) -> dict[str, set[str]]:
    profiled: dict[tuple[str, int], set[str]] = {}  # a user has a profile in each partition with his interactions
    for partition, key, value in _all(toys, "profiles"):
        if value and (user := (key or b"").decode(errors="replace")) in sender.bought:
            profiled[user, partition] = {item.item_id for item in Codec().decode(value, Profile)[0].items}
    known: dict[str, set[str]] = defaultdict(set)
    for (user, _), items in profiled.items():
        known[user] |= items
    return {user: items - known[user] for user, items in sender.bought.items() if items - known[user]}


def _unanswered_commands(toys: Toys, sender: Sender) -> set[str]:
    outcomes = Outcomes(toys.settings, sender.oracle, "fuzz")  # events come in the encoding of their commands
    ended = {outcome.event.command for outcome in outcomes.from_the_start() if outcome.event.phase in FINAL}
    outcomes.close()
    topic_id = identity_of(AdminClient(clients.base(toys.settings, "fuzz")), toys.topic("drills.control")).topic_id
    positions = [position for position in sender.sent["drills.control"].values() if position]
    return {f"{topic}-{partition}-{offset}@{topic_id}" for topic, partition, offset in positions} - {*ended, None}


def _left_without_a_word(toys: Toys, sender: Sender) -> set[RecordPosition]:
    """Unreadable profiles and foreign answers that no log line names."""
    wanted = {
        position
        for topic in ("profiles", *FOREIGN_RESULTS)
        for number, position in sender.sent[topic].items()
        if position and number not in sender.good
    }

    def silent() -> set[RecordPosition]:
        logged: set[RecordPosition] = set()
        for line in _log(toys):
            if "a profile cannot be read" in line or "not an answer" in line:
                about = json.loads(line)
                logged.add((about.get("topic", toys.topic("profiles")), about["partition"], about["offset"]))
        return wanted - logged

    until = time.monotonic() + 60
    while (left := silent()) and time.monotonic() < until:
        time.sleep(1)
    return left


def _all(toys: Toys, topic: str) -> Iterator[tuple[int, bytes | None, bytes | None]]:
    consumer = Consumer({**clients.follower(toys.settings, "fuzz"), "enable.partition.eof": True})
    name = toys.topic(topic)
    left = set(consumer.list_topics(name, timeout=30).topics[name].partitions)
    consumer.assign([TopicPartition(name, partition, 0) for partition in left])
    while left:
        for message in consumer.consume(1000, 1):
            if message.error() is None:
                yield message.partition(), message.key(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
    consumer.close()


def _log(toys: Toys) -> Iterator[str]:
    with toys.log_file.open(errors="replace") as lines:
        yield from lines
