"""A caller's requests and the answers it waits for, on a real Kafka with a thread that answers instead of workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from schemas.codec import Codec, Encoding
from schemas.records import Item, RecommendRequest, Result, SearchRequest
from standfast import topics
from standfast.caller import Caller
from standfast.core import clients
from standfast.core.errors import ClusterError, NoAnswer, TopicError
from standfast.core.settings import KafkaSettings, Settings


@pytest.fixture
def settings(broker: str, unique: str) -> Settings:
    """Settings of a system whose topics no other test uses."""
    made = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3))
    topics.apply(AdminClient(clients.base(made, "test")), made.kafka)
    return made


class Answerer(threading.Thread):
    """Answers every request with its query as the title, after an aborted transaction with a wrong answer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._prefix = settings.kafka.topic_prefix
        self._codec = Codec()
        self._consumer = Consumer(clients.consumer(settings, "echo", f"{self._prefix}echo"))
        self._producer = Producer(clients.transactional(settings, "echo", f"{self._prefix}echo"))
        self._ended = threading.Event()
        self.keys: list[bytes | None] = []

    def run(self) -> None:
        self._producer.init_transactions(10)
        self._consumer.subscribe([self._prefix + "search.requests", self._prefix + "recommend.requests"])
        while not self._ended.is_set():
            message = self._consumer.poll(0.05)
            if message is None or message.error():
                continue
            self.keys.append(message.key())
            topic = message.topic().removeprefix(self._prefix)
            kind: type[SearchRequest | RecommendRequest] = (
                SearchRequest if topic == "search.requests" else RecommendRequest
            )
            request, encoding = self._codec.decode(message.value(), kind)
            title = request.query if isinstance(request, SearchRequest) else str(request.user_id)
            for worker, end in (
                ("wrong", self._producer.abort_transaction),
                ("echo-0", self._producer.commit_transaction),
            ):
                self._producer.begin_transaction()
                self._produce(topic, str(request.request_id), title, worker, encoding)
                self._producer.flush(5)
                end(5)
        self._consumer.close()

    def _produce(self, topic: str, request_id: str, title: str, worker: str, encoding: Encoding) -> None:
        item = Item(item_id="i1", score=1.0, title=title)
        result = Result(request_id=request_id, status="ok", items=[item], model="echo@1", worker=worker)
        name = self._prefix + topic.replace(".requests", ".results")
        self._producer.produce(name, value=self._codec.encode(result, encoding))

    def end(self) -> None:
        self._ended.set()
        self.join(10)


@contextmanager
def answering(settings: Settings) -> Iterator[Answerer]:
    answerer = Answerer(settings)
    answerer.start()
    try:
        yield answerer
    finally:
        answerer.end()


@pytest.mark.parametrize("encoding", [Encoding.JSON, Encoding.AVRO])
def test_a_request_gets_its_own_committed_answer(settings: Settings, encoding: Encoding) -> None:
    with answering(settings) as answerer, Caller(settings, encoding) as caller:
        answers = [caller.ask(SearchRequest(query=f"heart {number}"), 20) for number in range(5)]
        recommended = caller.ask(RecommendRequest(user_id="u7", request_id="r7"), 20)
    assert [answer.items[0].title for answer in answers] == [f"heart {number}" for number in range(5)]
    assert {answer.worker for answer in [*answers, recommended]} == {"echo-0"}, "an aborted answer was seen"
    assert recommended.request_id == "r7"
    assert answerer.keys[-1] == b"u7"


def test_no_answer_says_what_to_do(settings: Settings) -> None:
    with Caller(settings) as caller, pytest.raises(NoAnswer, match="standfast up"):
        caller.ask(SearchRequest(query="anybody there?"), 3)


def test_an_answer_from_before_the_caller_came_is_not_taken(settings: Settings) -> None:
    with answering(settings):
        with Caller(settings) as first:
            first.ask(SearchRequest(query="old", request_id="same"), 20)
        with Caller(settings) as second:
            answer = second.ask(SearchRequest(query="new", request_id="same"), 20)
    assert answer.items[0].title == "new"


def test_missing_topics_are_named(broker: str, unique: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}."))
    with pytest.raises(TopicError, match=rf"{unique}\.search\.results.*standfast topics"):
        Caller(settings)


def test_a_kafka_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standfast.caller._REACH_S", 0.5)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1 does not answer"):
        Caller(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")))
