"""An answer's topic, encoding and key, and what replaces an answer that Kafka refuses."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.requests.admission import Admitted, DeadLetter, Refused
from consumers.requests.answers import Answers, Outgoing
from consumers.service import service
from models.base import SearchQuery
from schemas.codec import Codec, Encoding
from schemas.records import Item, Result
from standfast.core.settings import KafkaSettings, Settings
from tests.support.origins import Headers, origin

_SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="shop."))
_TOPICS = {"replies": 3, "shop.recommend.results": 6, "shop.search.requests": 6, "shop.profiles": 6}


def answers() -> Answers:
    return Answers(service("search", _SETTINGS), Codec(), "search-0", "search@3", lambda topic: _TOPICS.get(topic, 0))


def served(headers: Headers = (), key: bytes | None = None, encoding: Encoding = Encoding.JSON) -> Outgoing:
    record = origin(headers=headers, key=key, topic="shop.search.requests")
    return answers().served(Admitted(record, encoding, "r1", SearchQuery("heart", 1)), [Item("i1", 0.5, "Heart")])


def reply_to(topic: bytes, partition: bytes | None = None) -> tuple[str, int]:
    out = served([("kafka_replyTopic", topic), ("kafka_replyPartition", partition)])
    return out.topic, out.to_partition


def test_an_answer_says_when_something_was_missing() -> None:
    record = origin(topic="shop.search.requests")
    for degraded in (False, True):
        out = answers().served(Admitted(record, Encoding.JSON, "r1", SearchQuery("heart", 1), degraded), [])
        assert json.loads(out.value or b"")["degraded"] is degraded


def test_an_answer_has_the_contracts_fields() -> None:
    fields = json.loads(served().value or b"")
    assert fields["latency_ms"] > 0
    del fields["latency_ms"]
    assert fields == {
        "request_id": "r1",
        "status": "ok",
        "items": [{"item_id": "i1", "score": 0.5, "title": "Heart"}],
        "model": "search@3",
        "worker": "search-0",
        "degraded": False,
        "error": None,
    }


def test_the_answer_is_in_the_encoding_of_the_request() -> None:
    value = served(encoding=Encoding.AVRO).value
    result, encoding = Codec().decode(value, Result)
    assert (result.request_id, encoding) == ("r1", Encoding.AVRO)


def test_a_refusal_says_why() -> None:
    record = origin(key=b"k", headers=[("a", b"1")])
    out = answers().refused(Refused(record, Encoding.JSON, "r2", "deadline_exceeded", "late by 5 ms"))
    fields = json.loads(out.value or b"")
    assert (fields["status"], fields["error"], fields["items"]) == ("deadline_exceeded", "late by 5 ms", [])
    assert (out.topic, out.key, out.headers) == ("shop.search.results", b"k", [("a", b"1")])


@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=5))
def test_all_headers_come_back(headers: list[tuple[str, bytes | None]]) -> None:
    assert served(headers).headers == headers


def test_the_key_is_the_callers_or_else_the_request_id() -> None:
    assert served(key=b"own").key == b"own"
    assert served(key=b"").key == b"", "an empty key is a key"
    assert served().key == b"r1"


def test_answers_go_to_our_topic_unless_the_request_names_another() -> None:
    assert (served().topic, served().to_partition, served().to_named) == ("shop.search.results", -1, False)
    assert reply_to(b"replies") == ("replies", -1)
    assert reply_to(b"shop.recommend.results")[0] == "shop.recommend.results"


def test_a_reply_topic_that_is_not_there_or_is_read_by_us_is_not_used() -> None:
    for topic in (b"", b"missing", b"shop.search.requests", b"shop.profiles", b"re\0plies", b"\xff", b"x" * 300):
        assert reply_to(topic) == ("shop.search.results", -1)


def test_a_reply_partition_is_used_if_the_topic_has_it() -> None:
    assert reply_to(b"replies", b"\0\0\0\2") == ("replies", 2)
    for partition in (None, b"", b"2", b"\0\0\0\3", b"\xff\xff\xff\xff", b"\0\0\0\0\2"):
        assert reply_to(b"replies", partition) == ("replies", -1)


def test_a_reply_topic_that_is_not_known_yet_is_named_as_asked_and_ours_is_not() -> None:
    unknown = Answers(service("search", _SETTINGS), Codec(), "search-0", "search@3", lambda _topic: None)
    for topic, wanted, expected in ((b"new", b"\0\0\0\7", ("new", 7)), (b"shop.search.results", b"\0\0\0\7", None)):
        record = origin(
            headers=[("kafka_replyTopic", topic), ("kafka_replyPartition", wanted)], topic="shop.search.requests"
        )
        out = unknown.served(Admitted(record, Encoding.JSON, "r1", SearchQuery("heart", 1)), [])
        assert (out.topic, out.to_partition) == (expected or ("shop.search.results", -1))
        assert out.to_named == (expected is not None)


@given(st.binary(max_size=300), st.none() | st.binary(max_size=6))
def test_no_reply_header_raises(topic: bytes, partition: bytes | None) -> None:
    assert reply_to(topic, partition)[0] in {"shop.search.results", "replies"}


def test_a_dead_letter_is_the_original_and_why() -> None:
    record = origin(b"\xff", [("a", None)], b"k", topic="shop.search.requests")
    out = answers().dead(DeadLetter(record, "no JSON", "unreadable"))
    assert (out.topic, out.key, out.value) == ("shop.search.requests.dlq", b"k", b"\xff")
    assert out.headers == [
        ("a", None),
        ("error-reason", b"no JSON"),
        ("error-topic", b"shop.search.requests"),
        ("error-partition", b"2"),
        ("error-offset", b"41"),
        ("error-timestamp", b"1700000000000"),
        ("error-worker", b"search-0"),
    ]


def test_a_long_reason_is_cut() -> None:
    out = answers().dead(DeadLetter(origin(), "x" * 5000, "model"))
    assert len(dict(out.headers)["error-reason"] or b"") == 1000


def test_what_a_named_topic_refuses_goes_to_ours_and_to_the_dead_letters_and_then_without_its_value() -> None:
    named = served([("kafka_replyTopic", b"replies"), ("kafka_replyPartition", b"\0\0\0\1")], b"k")
    ours, letter = answers().unreplied(named, "INVALID_TIMESTAMP")
    assert (letter.topic, letter.value) == ("shop.search.requests.dlq", named.origin.value)
    reason = dict(letter.headers)["error-reason"]
    assert reason == b"the reply topic replies has not taken the answer: INVALID_TIMESTAMP"
    assert answers().to_ours(named) == ours
    assert (ours.topic, ours.to_partition, ours.to_named, ours.value) == ("shop.search.results", -1, False, named.value)
    dead = answers().replacement(ours, "MSG_SIZE_TOO_LARGE")
    assert (dead.topic, dead.value) == ("shop.search.requests.dlq", named.origin.value)
    assert b"MSG_SIZE_TOO_LARGE" in (dict(dead.headers)["error-reason"] or b"")
    least = answers().replacement(dead, "MSG_SIZE_TOO_LARGE")
    assert (least.topic, least.key, least.value) == ("shop.search.requests.dlq", None, None)
    assert [name for name, _ in least.headers] == [
        "error-reason",
        "error-topic",
        "error-partition",
        "error-offset",
        "error-timestamp",
        "error-worker",
        "error-value-bytes",
    ]
    assert answers().replacement(least, "POLICY_VIOLATION").headers[:6] == least.headers[:6]
    assert all(outgoing.source == ("shop.search.requests", 2) for outgoing in (named, ours, dead, least))


def test_a_dead_letter_of_what_was_too_large_to_be_read_says_how_large_it_was() -> None:
    record = replace(origin(None), oversize=400 << 20)
    letter = answers().dead(DeadLetter(record, "too large", "unreadable"))
    assert letter.value is None
    assert letter.headers[-1] == ("error-value-bytes", b"419430400")
    assert answers().replacement(letter, "MSG_SIZE_TOO_LARGE").headers[-1] == letter.headers[-1]
