"""Numbered requests and all answers to them, to count what was lost, answered twice or answered out of order."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.topics import BULK_SUFFIX
from standfast.core import clients
from standfast.core.settings import Settings
from tests.support.desk import TopicReader, both_ends
from tests.waiting import wait_until

KEYS = 16  # several for each partition
ANSWER_S = 120.0  # bounds a wait for answers, on a busy machine


@dataclass(frozen=True)
class SeenAnswer:
    """One answer as a read_committed consumer saw it; `at` is the monotonic time in seconds."""

    request_id: str
    status: str
    worker: str
    model: str
    at: float
    title: str = ""


class RequestHistory:
    """Sends requests to one service and reads its result topic, in a thread, from the moment it is entered.

    Each request has a key. All requests of a key go through one request partition and one result partition, so their
    answers must come in the order of the requests. With `replies`, requests name that reply topic, which is read too.
    """

    def __init__(
        self, settings: Settings, name: str, service: str = "search", *, bulk: bool = False, replies: str = ""
    ) -> None:
        prefix = settings.kafka.topic_prefix
        suffix, group = (BULK_SUFFIX, "-bulk") if bulk else ("", "")
        self.name = name
        self.sent: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.seen: list[SeenAnswer] = []
        self._settings = settings
        self._requests = f"{prefix}{service}.requests{suffix}"
        self._headers = [("kafka_replyTopic", replies.encode())] if replies else []
        self._results = [f"{prefix}{service}.results{suffix}", *([replies] if replies else [])]
        self._producer = Producer(clients.producer(settings, f"{name}-history"))
        follower = {**clients.follower(settings, f"{name}-history"), "enable.partition.eof": True}
        self._consumer = Consumer(follower)
        # A second consumer for offsets: a confluent-kafka consumer serves no other thread while one polls it.
        self._asking = Consumer(clients.consumer(settings, f"{name}-history", f"{prefix}standfast-{service}{group}"))
        self._read_to: dict[tuple[str, int], int] = {}
        self._unsent: list[str] = []
        self._ended = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._read, name="history", daemon=True)

    def __enter__(self) -> RequestHistory:
        self._thread.start()
        assert self._started.wait(60), "the reader did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)
        self._consumer.close()
        self._asking.close()

    def send(self, query: str = "heart", partition: int | None = None) -> str:
        """Sends one request and returns its id, without waiting for its acknowledgement."""
        number = len(self.sent)
        request_id, key = f"{self.name}-{number}", f"{self.name}-key-{number % KEYS}"
        self.sent[request_id] = key if partition is None else f"{self.name}-partition-{partition}"
        self.asked[request_id] = query
        value = json.dumps({"request_id": request_id, "query": query}).encode()
        target = {} if partition is None else {"partition": partition}
        self._producer.produce(
            self._requests,
            value,
            self.sent[request_id],
            on_delivery=self._delivered,
            headers=self._headers,
            **target,
        )
        self._producer.poll(0)
        return request_id

    def load(self, count: int, rate: float) -> None:
        """Sends `count` requests at `rate` per second and returns when Kafka has acknowledged them."""
        begin = time.monotonic()
        for number in range(count):
            self.send(f"heart {number}")
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        self.flush()

    def flush(self) -> None:
        """Returns when Kafka has acknowledged everything that was sent."""
        assert self._producer.flush(60) == 0
        assert not self._unsent, self._unsent

    def answers(self, request_id: str) -> list[SeenAnswer]:
        """All answers to a request, in the order they were read."""
        return [sighting for sighting in list(self.seen) if sighting.request_id == request_id]

    def settle(self, timeout: float = ANSWER_S) -> None:
        """Returns when the group has committed all requests and all answers are read; fails after `timeout` seconds."""
        self.flush()
        wait_until(self._is_served, timeout, every=0.1, what="requests all served")
        ends = {(topic, partition): end for topic in self._results for partition, end in self._ends(topic).items()}
        wait_until(lambda: self._has_read(ends), timeout, what="answers all read")

    def at_least_once(self, timeout: float = ANSWER_S) -> None:
        """Waits for all answers and asserts that each request has at least one."""
        self.settle(timeout)
        assert set(self.sent) - {sighting.request_id for sighting in self.seen} == set()

    def exactly_once(self, timeout: float = ANSWER_S, besides: tuple[str, ...] = ()) -> None:
        """Waits for all answers and asserts that each request except `besides` has exactly one, in order.

        A request that this producer wrote more than once must have one answer for each copy.
        """
        self.settle(timeout)
        counts = Counter(sighting.request_id for sighting in self.seen)
        lost = [request_id for request_id in self.sent if request_id not in counts and request_id not in besides]
        doubled = [request_id for request_id, count in counts.items() if count > 1]
        if doubled:
            written = self._written()
            doubled = [request_id for request_id in doubled if counts[request_id] > written[request_id]]
        problems = (lost, doubled, self.out_of_order(), self.wrong())
        assert problems == ([], [], [], []), f"lost, doubled, out of order, wrong of {len(self.sent)}: {problems}"

    def _written(self) -> Counter[str]:
        """How often each request is in the request topic."""
        total = sum(self._ends(self._requests).values())  # a count, as no record is deleted and none transactional
        with TopicReader(self._settings, self._requests, from_the_start=True) as reader:
            wait_until(lambda: reader.read(0.5) is not None and len(reader.messages) >= total, what="all requests read")
            values = [message.value() or b"" for message in reader.messages]
        return Counter(json.loads(value)["request_id"] for value in values if f'"{self.name}-'.encode() in value)

    def dead_letter(self, request_id: str) -> dict[str, bytes]:
        """The headers of a request's dead letter."""
        with TopicReader(self._settings, f"{self._requests}.dlq", from_the_start=True) as dead:
            letter = dead.until(lambda message: f'"{request_id}"'.encode() in (message.value() or b""))
        return {name: value or b"" for name, value in letter.headers() or []}

    def wrong(self) -> list[str]:
        """Requests that got another request's answer: the toy model answers with the query, or with its version."""
        return [
            sighting.request_id
            for sighting in list(self.seen)
            if sighting.status == "ok"
            and self.asked.get(sighting.request_id, "version") not in {"version", sighting.title}
        ]

    def out_of_order(self) -> list[str]:
        """Requests whose answer came after the answer to a later request with the same key."""
        last: dict[str, int] = {}
        late = []
        for sighting in self.seen:
            if sighting.request_id not in self.sent:
                continue
            key, number = self.sent[sighting.request_id], int(sighting.request_id.rpartition("-")[2])
            if number < last.get(key, -1):
                late.append(sighting.request_id)
            last[key] = max(number, last.get(key, -1))
        return late

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._unsent.append(f"{message.key()!r}: {error}")

    def _read(self) -> None:
        topics = [self._consumer.list_topics(result, timeout=30).topics[result] for result in self._results]
        self._consumer.assign(
            [TopicPartition(topic.topic, number, OFFSET_BEGINNING) for topic in topics for number in topic.partitions]
        )
        self._started.set()
        while not self._ended.is_set():
            for message in self._consumer.consume(500, 0.05):
                if message.error() is None:
                    self._take(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    self._read_to[message.topic(), message.partition()] = message.offset()

    def _take(self, message: Message) -> None:
        if f'"request_id":"{self.name}-'.encode() in (message.value() or b""):
            fields = json.loads(message.value() or b"")
            shown = fields["items"][0]["title"] if fields["items"] else ""
            seen = (fields["request_id"], fields["status"], fields["worker"], fields["model"])
            self.seen.append(SeenAnswer(*seen, time.monotonic(), shown))

    def _ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition, as a read_committed consumer sees it."""
        metadata = self._asking.list_topics(topic, timeout=30).topics[topic]
        partitions = [TopicPartition(topic, number) for number in metadata.partitions]
        return {partition.partition: both_ends(self._asking, partition)[1] for partition in partitions}

    def _is_served(self) -> bool:
        ends = self._ends(self._requests)
        try:
            done = self._asking.committed([TopicPartition(self._requests, number) for number in ends], timeout=30)
        except KafkaException:  # on a slow broker the group may have no coordinator yet
            return False
        return all(max(position.offset, 0) >= ends[position.partition] for position in done)

    def _has_read(self, ends: dict[tuple[str, int], int]) -> bool:
        """Whether the consumer has reached these ends.

        It compares end-of-partition events: the consumer's position does not pass transaction markers after the last
        answer.
        """
        return all(self._read_to.get(partition, 0) >= end for partition, end in ends.items())
