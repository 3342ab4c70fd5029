"""The answers to all kinds of requests, from real workers with toy models on a real Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, Encoding
from schemas.records import RecommendRequest, Result, SearchRequest
from schemas.registry import SchemaRegistry
from standfast.core import clients
from tests.support.desk import Desk, Header, RefusedByKafka, TopicReader, has
from tests.support.history import RequestHistory
from tests.support.registry import Registry, running_registry
from tests.support.toys.toys import PARTITIONS, Toys
from tests.waiting import wait_until

MIB = 1 << 20
_SEEN: set[str] = set()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


@pytest.fixture(scope="module")
def registry_url(registry: Registry) -> str:
    return registry.url


@pytest.fixture(scope="module")
def toys(broker: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    more = {"SCHEMA_REGISTRY_URL": registry_url, "STANDFAST_RECOMMEND__WORKERS": "1"}
    made = Toys(tmp_path_factory.mktemp("serving"), broker, "serving.", ("search", "recommend"), **more)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def dead(desk: Desk) -> Iterator[TopicReader]:
    with desk.reader("search.requests.dlq") as reader:
        yield reader


@pytest.fixture(scope="module")
def codec(desk: Desk, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codec]:
    registry = SchemaRegistry(registry_url, tmp_path_factory.mktemp("schemas"))
    registry.declare(SearchRequest, desk.topic("search.requests"))
    registry.declare(RecommendRequest, desk.topic("recommend.requests"))
    registry.declare(Result, desk.topic("search.results"))
    yield Codec(registry)
    registry.close()


def search(request_id: str, query: str = "heart", **more: object) -> bytes:
    return json.dumps({"request_id": request_id, "query": query, **more}).encode()


def first_byte(value: bytes) -> bytes:
    return value[:1]


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_search_is_answered_in_kind(
    desk: Desk, codec: Codec, results: TopicReader, encoding: Encoding, unique: str
) -> None:
    value = codec.encode(SearchRequest(request_id=unique, query="lunch bag", k=1, user_id="u7"), encoding)
    desk.send("search.requests", value, b"own-key", [("n", unique.encode())])
    message = results.until(has("n", unique.encode()))
    answer, came_in = codec.decode(message.value(), Result)
    assert came_in is encoding
    assert (answer.request_id, answer.status, answer.model, answer.degraded) == (unique, "ok", "toy@1", False)
    assert answer.worker in {"search-0", "search-1"}
    assert answer.latency_ms >= 0
    assert [(item.item_id, item.score, item.title) for item in answer.items] == [("lunch bag", 1.0, "lunch bag")]
    assert message.key() == b"own-key"


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_recommendation_is_answered_in_kind(desk: Desk, codec: Codec, encoding: Encoding, unique: str) -> None:
    request = RecommendRequest(request_id=unique, user_id="u7", k=3, history=["85123A"], context={"page": "home"})
    with desk.reader("recommend.results") as results:
        desk.send("recommend.requests", codec.encode(request, encoding), b"u7", [("n", unique.encode())])
        message = results.until(has("n", unique.encode()))
    answer, came_in = codec.decode(message.value(), Result)
    assert (came_in, answer.request_id, answer.status, answer.worker) == (encoding, unique, "ok", "recommend-0")
    assert message.key() == b"u7"


def test_a_request_without_id_and_key_is_answered_under_its_place(desk: Desk, results: TopicReader) -> None:
    partition, offset = desk.send("search.requests", b'{"query": "no name"}')
    request_id = f"{desk.topic('search.requests')}-{partition}-{offset}"
    assert results.answer(request_id)["status"] == "ok"
    assert results.messages[-1].key() == request_id.encode()


def test_all_headers_come_back(desk: Desk, results: TopicReader, unique: str) -> None:
    headers: list[Header] = [
        ("kafka_correlationId", b"\x00\xff" * 8),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("twice", b"1"),
        ("twice", b"2"),
        ("nothing", None),
        ("", b"no name"),
    ]
    desk.send("search.requests", search(unique), headers=headers)
    results.answer(unique)
    assert results.messages[-1].headers() == headers


def test_an_answer_goes_to_the_reply_topic_and_partition_that_are_asked_for(
    desk: Desk, results: TopicReader, unique: str
) -> None:
    desk.create(unique, 3)
    named: list[Header] = [("kafka_replyTopic", desk.topic(unique).encode())]
    with desk.reader(unique) as replies:
        desk.send("search.requests", search("to-2"), headers=[*named, ("kafka_replyPartition", b"\0\0\0\2")])
        assert replies.answer("to-2")["status"] == "ok"
        assert replies.messages[-1].partition() == 2
        desk.send("search.requests", search("to-9"), headers=[*named, ("kafka_replyPartition", b"\0\0\0\x09")])
        assert replies.answer("to-9")["status"] == "ok"
    desk.send("search.requests", search(unique))
    results.answer(unique)
    assert len(results.messages) == 1


@pytest.mark.parametrize(
    "topic", [b"serving.search.requests", b"serving.search.requests.dlq", b"serving.profiles", b"not.there", b"\xff \0"]
)
def test_a_reply_topic_that_cannot_be_meant_is_not_used(
    desk: Desk, results: TopicReader, unique: str, topic: bytes
) -> None:
    desk.send("search.requests", search(unique), headers=[("kafka_replyTopic", topic)])
    assert results.answer(unique)["status"] == "ok"


def test_a_reply_topic_that_refuses_the_answer_holds_nobody_up(desk: Desk, results: TopicReader, unique: str) -> None:
    """Kafka's internal topics take no records: every try of the batch failed, for ever."""
    desk.send("search.requests", search(unique), b"k", [("kafka_replyTopic", b"__consumer_offsets")])
    desk.send("search.requests", search(f"{unique}-next"), b"k")
    assert results.answer(unique)["status"] == "ok"
    assert results.answer(f"{unique}-next")["status"] == "ok"


def test_a_reply_topic_whose_limits_refuse_the_answer_costs_only_its_caller_the_reply(
    desk: Desk, results: TopicReader, dead: TopicReader, unique: str
) -> None:
    """The topic refused the transaction marker too: the worker answered nothing any more, not even after a restart."""
    desk.create(unique, 1, message_timestamp_before_max_ms="0")
    named: list[Header] = [("kafka_replyTopic", desk.topic(unique).encode()), ("n", unique.encode())]
    desk.send("search.requests", search(unique), b"k", named)
    desk.send("search.requests", search(f"{unique}-next"), b"k")
    assert results.answer(f"{unique}-next")["status"] == "ok"
    assert results.answer(unique)["status"] == "ok", "it goes to the result topic, as without a reply topic"
    letter = dead.until(has("n", unique.encode()))
    assert letter.value() == search(unique)
    assert b"INVALID_TIMESTAMP" in (dict(letter.headers() or [])["error-reason"] or b"")


def test_many_missing_reply_topics_hold_nobody_up(desk: Desk, results: TopicReader, unique: str) -> None:
    """Each missing topic cost 0.5 s, one after the other: a request behind 64 of them waited 25 s."""
    began = time.monotonic()
    for number in range(64):
        headers: list[Header] = [("kafka_replyTopic", f"{unique}-missing-{number}".encode())]
        desk.send("search.requests", search(f"{unique}-{number}"), b"k", headers)
    sent = time.monotonic()
    desk.send("search.requests", search(f"{unique}-innocent"), b"k")
    assert results.answer(f"{unique}-innocent")["status"] == "ok"
    assert time.monotonic() - sent < 0.5 * 64 / 2 + (sent - began)
    for number in range(64):
        assert results.answer(f"{unique}-{number}")["status"] == "ok"


def test_a_reply_topic_that_is_deleted_holds_nobody_up(desk: Desk, results: TopicReader, unique: str) -> None:
    """Callers create reply topics for themselves and delete them when they end."""
    desk.create(unique, 1)
    named: list[Header] = [("kafka_replyTopic", desk.topic(unique).encode())]
    with desk.reader(unique) as replies:
        desk.send("search.requests", search(f"{unique}-there"), b"k", named)
        assert replies.answer(f"{unique}-there")["status"] == "ok"
    desk.delete(unique)
    desk.send("search.requests", search(f"{unique}-gone"), b"k", named)
    assert results.answer(f"{unique}-gone")["status"] == "ok"


def test_a_request_that_is_too_late_is_told_so(desk: Desk, results: TopicReader, unique: str) -> None:
    now = int(time.time() * 1000)
    for name, deadline in (("late", now - 1000), ("early", now + 600_000)):
        desk.send("search.requests", search(f"{unique}-{name}"), headers=[("deadline-ms", b"%d" % deadline)])
    assert results.answer(f"{unique}-late")["status"] == "deadline_exceeded"
    assert results.answer(f"{unique}-early")["status"] == "ok"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"query": ""}, "query is empty"),
        ({"query": "x" * 3000}, "3000 characters"),
        ({"query": "heart", "k": 0}, "k is 0; it must be from 1 to 100"),
        ({"query": "heart", "k": "ten"}, "Expected `int`"),
        ({}, "missing required field `query`"),
    ],
)
def test_a_wrong_request_is_answered_with_what_is_wrong(
    desk: Desk, results: TopicReader, unique: str, fields: dict[str, object], error: str
) -> None:
    desk.send("search.requests", json.dumps({"request_id": unique, **fields}).encode())
    answer = results.answer(unique)
    assert answer["status"] == "invalid"
    assert error in str(answer["error"])


def test_a_request_the_model_fails_on_is_answered_and_kept(
    desk: Desk, results: TopicReader, dead: TopicReader, unique: str
) -> None:
    value = search(unique, "raise")
    desk.send("search.requests", value, b"k", [("n", unique.encode())])
    assert "this request cannot be computed" in str(results.answer(unique)["error"])
    assert dead.until(has("n", unique.encode())).value() == value


@pytest.mark.parametrize("value", [None, b"", b"not json", b"\xc3\x01\0\0\0\0\0\0\0\0x", b"\0\0\0\0\x63x"])
def test_an_unreadable_record_is_kept_as_it_was_with_the_reason(
    desk: Desk, dead: TopicReader, unique: str, value: bytes | None
) -> None:
    sent_headers: list[Header] = [("n", unique.encode()), ("x", None)]
    partition, offset = desk.send("search.requests", value, b"\xffkey", sent_headers)
    letter = dead.until(has("n", unique.encode()))
    assert (letter.value() or None, letter.key()) == (value or None, b"\xffkey")
    headers = letter.headers() or []
    assert headers[:2] == sent_headers
    error_headers = dict(headers[2:])
    assert error_headers["error-topic"] == desk.topic("search.requests").encode()
    assert (error_headers["error-partition"], error_headers["error-offset"]) == (b"%d" % partition, b"%d" % offset)
    assert error_headers["error-reason"]
    assert (error_headers["error-worker"] or b"").startswith(b"search-")
    assert abs(int(error_headers["error-timestamp"] or 0) - time.time() * 1000) < 600_000


def test_unreadable_records_keep_their_order_and_are_read_once(desk: Desk, dead: TopicReader, unique: str) -> None:
    sent = [b"junk %d" % number for number in range(30)]
    for value in sent:
        partition, offset = desk.send("search.requests", value, unique.encode())
    dead.until(lambda message: message.value() == sent[-1])
    values = [message.value() for message in dead.messages if message.key() == unique.encode()]
    assert values == sent
    group = Consumer(clients.consumer(desk.settings, "look", "serving.standfast-search"))
    request_partition = TopicPartition(desk.topic("search.requests"), partition)
    wait_until(lambda: group.committed([request_partition], timeout=10)[0].offset > offset, what="the committed offset")
    group.close()


# A client that sends header names of any bytes, as some clients do; aiokafka's C extension would not.
_ODD_CLIENT = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Odd(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def send():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
        await producer.send_and_wait(sys.argv[2], sys.argv[3].encode(), headers=[(Odd("x"), b"v")])

asyncio.run(send())
"""


def test_a_header_name_that_is_not_utf_8_makes_a_dead_letter(
    toys: Toys, desk: Desk, dead: TopicReader, unique: str
) -> None:
    """confluent-kafka raises SystemError for such a header, which ended one worker after the other."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            _ODD_CLIENT,
            desk.settings.kafka.bootstrap_servers,
            desk.topic("search.requests"),
            unique,
        ],
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        check=True,
        timeout=120,
    )
    letter = dead.until(lambda message: message.value() == unique.encode())
    assert b"not UTF-8" in (dict(letter.headers() or [])["error-reason"] or b"")


_STARTS = st.sampled_from([b"", b"\xc3\x01", b"\0", b"\0\0\0\0\1", b'{"query": "', b'{"query": "heart", "k": '])
_VALUES = st.none() | st.builds(lambda start, rest: start + rest, _STARTS, st.binary(max_size=100))
_NAMES = st.sampled_from(["deadline-ms", "kafka_replyTopic", "kafka_replyPartition", "error-reason", "x"])
_HEADERS = st.lists(st.tuples(_NAMES, st.none() | st.binary(max_size=12)), max_size=3)
_RECORDS = st.tuples(_VALUES, st.none() | st.binary(max_size=10), _HEADERS)


@settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_RECORDS, min_size=50, max_size=80))
def test_every_record_of_random_bytes_is_answered_or_kept(
    toys: Toys, desk: Desk, records: list[tuple[bytes | None, bytes | None, list[Header]]]
) -> None:
    run = f"random-{len(_SEEN)}-{time.monotonic_ns()}"
    _SEEN.add(run)
    tags = [f"{run}-{number}".encode() for number in range(len(records))]
    pids = toys.pids()
    with desk.reader("search.results") as results, desk.reader("search.requests.dlq") as dead:
        for tag, (value, key, headers) in zip(tags, records, strict=True):
            desk.send("search.requests", value, key, [*headers, ("n", tag)])
        desk.send("search.requests", search(run))

        def left() -> bool:
            both = [*results.read(0.1), *dead.read(0.1), *results.messages, *dead.messages]
            seen = {dict(message.headers() or []).get("n") for message in both}
            return set(tags) <= seen

        wait_until(left, 60, what="every record answered or kept")
    assert toys.pids() == pids, "a worker died of it"


def _frame(registry: Registry) -> bytes:
    """A request in a schema that no client has asked the registry for yet."""
    fields = [{"name": "query", "type": "string"}, {"name": f"more_{len(registry.schemas)}", "type": "string"}]
    registry.schemas.append(
        json.dumps({"type": "record", "name": "SearchRequest", "namespace": "shop", "fields": fields})
    )
    return b"\0" + len(registry.schemas).to_bytes(4, "big") + b"\x0alunch\0"


@pytest.mark.parametrize("fault", ["says 503", "hangs"])
def test_while_the_registry_is_away_only_what_needs_it_waits(
    desk: Desk, results: TopicReader, registry: Registry, fault: str, unique: str
) -> None:
    mark = unique.encode()
    if fault == "hangs":
        registry.hanging.clear()
    else:
        registry.failing = (503, {"error_code": 50003})
    try:
        desk.send("search.requests", _frame(registry), headers=[("n", mark + b"frame")], partition=0)
        desk.send("search.requests", search(unique), headers=[("n", mark + b"behind")], partition=0)
        desk.send("search.requests", search(unique), headers=[("n", mark + b"beside")], partition=1)
        results.until(has("n", mark + b"beside"))
        seen = [value for message in results.messages for _, value in message.headers() or [] if value.startswith(mark)]
        assert seen == [mark + b"beside"], "what needs the registry waits, and the records after it in its partition"
    finally:
        registry.failing = None
        registry.hanging.set()
    for name in (b"frame", b"behind"):  # in different result partitions: either may be read first
        results.until(has("n", mark + name))
    seen = [value for message in results.messages for _, value in message.headers() or [] if value.startswith(mark)]
    assert sorted(seen) == sorted(mark + name for name in (b"beside", b"frame", b"behind"))


def test_a_takeover_asks_no_registry(
    toys: Toys, desk: Desk, results: TopicReader, registry: Registry, unique: str
) -> None:
    mark, frame = unique.encode(), _frame(registry)
    desk.send("search.requests", frame, headers=[("n", mark + b"before")], partition=0)
    results.until(has("n", mark + b"before"))
    registry.failing = (503, {"error_code": 50003})
    try:
        topic = desk.topic("search.requests")
        for _ in range(2):  # the second standby is made while the registry is away
            wait_until(lambda: bool(toys.standbys()), 60, what="a standby is there")
            [owner] = [worker for worker in toys.active() if 0 in worker.partitions.get(topic, [])]
            toys.kill(owner.pid)
            name = mark + str(owner.pid).encode()
            desk.send("search.requests", frame, headers=[("n", name)], partition=0)
            results.until(has("n", name))
    finally:
        registry.failing = None


def test_a_record_of_20_mb_is_refused_by_a_topic_of_the_table(desk: Desk) -> None:
    with pytest.raises(RefusedByKafka, match="MSG_SIZE_TOO_LARGE"):
        desk.send("search.requests", b"x" * 20 * MIB)


def test_a_committed_reader_sees_every_answer_once_and_in_order(toys: Toys) -> None:
    with RequestHistory(toys.settings, "once") as history:
        history.load(300, 600)
        history.exactly_once()
        assert {sighting.status for sighting in history.seen} == {"ok"}


def test_kafkas_own_console_tools_are_answered(toys: Toys, desk: Desk, tmp_path: Path, unique: str) -> None:
    def console(tool: str, *arguments: str, stdin: str = "") -> str:
        environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": toys.settings.kafka.bootstrap_servers}
        done = subprocess.run(
            [sys.executable, "-m", "standfast", "kafka", tool, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={**environment, "STANDFAST_HOME": str(tmp_path)},
            check=True,
        )
        return done.stdout

    with desk.reader("search.results") as results:
        console("console-producer", "--topic", desk.topic("search.requests"), stdin=search(unique).decode() + "\n")
        results.answer(unique)
        message = results.messages[-1]
    start = ["--partition", str(message.partition()), "--offset", str(message.offset()), "--max-messages", "1"]
    shown = console("console-consumer", "--topic", desk.topic("search.results"), *start)
    answer = json.loads(shown)
    assert (answer["request_id"], answer["status"], answer["items"][0]["title"]) == (unique, "ok", "heart")


@pytest.mark.parametrize("bulk", ["", ".bulk"])
def test_partitions_that_are_added_are_read_soon(desk: Desk, unique: str, bulk: str) -> None:
    """Requests in new partitions waited up to five minutes (topic.metadata.refresh.interval.ms)."""
    desk.grow(f"search.requests{bulk}", PARTITIONS + 1)
    with desk.reader(f"search.results{bulk}") as results:
        desk.send(f"search.requests{bulk}", search(unique), partition=PARTITIONS)
        assert results.answer(unique)["status"] == "ok"


def test_at_least_once_answers_too(broker: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    more = {"STANDFAST_WORKERS__DELIVERY": "at_least_once"}
    toys = Toys(tmp_path_factory.mktemp("least"), broker, "least.", ("search",), **more)
    toys.start()
    try:
        with RequestHistory(toys.settings, "least") as history:
            history.load(100, 400)
            history.exactly_once()
            refused = history.send("raise")
            history.settle()
            assert [answer.status for answer in history.answers(refused)] == ["invalid"]
    finally:
        toys.stop()
