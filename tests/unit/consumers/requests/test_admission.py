"""The decision on a raw record: it is computed, refused with an answer, or made a dead letter; it never raises."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.requests import admission as admission_module
from consumers.requests.admission import Admission, Admitted, DeadLetter, Decision, Origin, Refused, origin_of
from consumers.requests.histories import NOTHING, Known
from consumers.service import service
from models.base import RecommendQuery, SearchQuery
from schemas.codec import Codec, Encoding
from schemas.records import RecommendRequest, SearchRequest
from standfast.core.settings import Settings
from tests.support.origins import FakeMessage, Headers, origin

_SETTINGS = Settings()


class Profiles:
    """The complete profile of u7 and an incomplete one of u8."""

    def known(self, user_id: str) -> Known:
        """The items of a user's profile."""
        return {"u7": Known(("i1", "i2"), complete=True), "u8": Known(("i3",), complete=False)}.get(user_id, NOTHING)


def decide(value: bytes | None, headers: Headers = (), name: str = "search") -> Decision:
    """The decision on a record of the service `name`."""
    named_service = service(name, _SETTINGS)
    admission = Admission(named_service, _SETTINGS, Codec(), Profiles())
    return admission.decide(origin(value, headers, topic=named_service.requests))


def reason(value: bytes, headers: Headers = (), name: str = "search") -> str:
    """Why the record is answered `invalid`."""
    decision = decide(value, headers, name)
    assert isinstance(decision, Refused)
    assert decision.status == "invalid"
    return decision.reason


def search(**fields: object) -> bytes:
    return json.dumps({"request_id": "r1", "query": "heart", **fields}).encode()


def test_a_good_request_becomes_a_query() -> None:
    decision = decide(search(query="  lunch bag ", k=3, user_id="u7"))
    assert isinstance(decision, Admitted)
    assert decision.query == SearchQuery("lunch bag", 3, "u7")
    assert (decision.request_id, decision.encoding) == ("r1", Encoding.JSON)


def test_avro_is_told_by_its_first_bytes() -> None:
    decision = decide(Codec().encode(SearchRequest(query="heart", request_id="r1"), Encoding.AVRO))
    assert isinstance(decision, Admitted)
    assert decision.encoding is Encoding.AVRO


@pytest.mark.parametrize("k", [0, -1, 101, 10**30])
def test_k_out_of_range_is_answered_with_the_range(k: int) -> None:
    assert reason(search(k=k)) == f"k is {k}; it must be from 1 to 100"


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_an_empty_query_is_answered(query: str) -> None:
    assert "query is empty" in reason(search(query=query))


def test_a_long_query_is_answered_with_the_limit() -> None:
    assert isinstance(decide(search(query="x" * 2000)), Admitted)
    assert "2001 characters; it must have at most 2000" in reason(search(query="x" * 2001))


def test_a_long_history_is_answered_with_the_limit() -> None:
    record = RecommendRequest(user_id="u7", history=["i"] * 1001)
    assert "1001 items" in reason(msgspec.json.encode(record), name="recommend")


def test_a_request_without_an_id_gets_its_place_for_one() -> None:
    decision = decide(b'{"query": "heart"}')
    assert isinstance(decision, Admitted)
    assert decision.request_id == "search.requests-2-41"
    refused = decide(b'{"query": "", "request_id": ""}')
    assert isinstance(refused, Refused)
    assert refused.request_id == "search.requests-2-41"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"request_id": "r9", "query": 5}', "r9"),
        (b'{"k": 5}', "search.requests-2-41"),
        (b"[]", "search.requests-2-41"),
    ],
)
def test_what_is_json_but_no_request_is_answered_under_its_id_if_it_has_one(value: bytes, expected: str) -> None:
    decision = decide(value)
    assert isinstance(decision, Refused)
    assert (decision.status, decision.request_id, decision.encoding) == ("invalid", expected, Encoding.JSON)


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"heart", b"\xc3\x01", b"\xc3\x0112345678", b"\x00\x00\x00\x00\x01x"]
)
def test_what_cannot_be_read_is_a_dead_letter(value: bytes | None) -> None:
    decision = decide(value)
    assert isinstance(decision, DeadLetter)
    assert decision.kind == "unreadable"
    assert decision.reason


def deadline(raw: bytes | None) -> Decision:
    return decide(search(), [("deadline-ms", raw)])


def test_a_deadline_that_has_passed_is_answered() -> None:
    decision = deadline(str(int(time.time() * 1000) - 5000).encode())
    assert isinstance(decision, Refused)
    assert decision.status == "deadline_exceeded"
    assert "before the request was read" in decision.reason


def test_a_deadline_to_come_and_an_empty_header_do_nothing() -> None:
    assert isinstance(deadline(str(int(time.time() * 1000) + 60_000).encode()), Admitted)
    assert isinstance(deadline(None), Admitted)


@pytest.mark.parametrize("raw", [b"", b"soon", b"1e3", b"\xff"])
def test_a_deadline_that_cannot_be_read_is_answered(raw: bytes) -> None:
    assert "deadline-ms" in reason(search(), [("deadline-ms", raw)])


@pytest.mark.parametrize("raw", [b"9" * 400, b"-" + b"9" * 400, b"9" * 5000])
def test_a_deadline_that_is_no_time_is_answered(raw: bytes) -> None:
    """Such a number raised OverflowError, which ended one worker after the other."""
    assert "deadline-ms" in reason(search(), [("deadline-ms", raw)])


def test_the_last_header_of_a_name_counts() -> None:
    past = str(int(time.time() * 1000) - 5000).encode()
    assert isinstance(decide(search(), [("deadline-ms", past), ("deadline-ms", b"9" * 15)]), Admitted)


def test_a_users_profile_comes_before_the_history_of_the_request() -> None:
    record = RecommendRequest(user_id="u7", history=["i9"], exclude_seen=False)
    decision = decide(msgspec.json.encode(record), name="recommend")
    assert isinstance(decision, Admitted)
    assert decision.query == RecommendQuery("u7", 10, ("i1", "i2", "i9"), exclude_seen=False)


def test_an_answer_that_may_miss_what_a_user_had_is_degraded() -> None:
    users = {"u7": False, "u8": True}
    for user, degraded in users.items():
        decision = decide(msgspec.json.encode(RecommendRequest(user_id=user)), name="recommend")
        assert isinstance(decision, Admitted)
        assert decision.degraded is degraded
    without_user = decide(b"{}", name="recommend")
    assert isinstance(without_user, Admitted)
    assert not without_user.degraded


def test_an_unknown_or_missing_user_is_served() -> None:
    assert isinstance(decide(b'{"user_id": "nobody"}', name="recommend"), Admitted)
    assert isinstance(decide(b"{}", name="recommend"), Admitted)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xc3\x01", b"\x00", b'{"query": ', b'{"query": 5, "request_id": "']),
)
@example(b"\xff", b'{"query": 5, "request_id": "')
def test_no_bytes_raise(body: bytes, start: bytes) -> None:
    decide(start + body)
    decide(start + body, name="recommend")


_FIELDS = st.sampled_from(["query", "k", "request_id", "user_id", "history"])
_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS, inner),
    max_leaves=8,
)


@given(_VALUES)
def test_json_is_always_answered_or_computed(fields: object) -> None:
    value = json.dumps(fields, allow_nan=False, default=str).encode() if _is_json(fields) else b"{}"
    assert isinstance(decide(value), Admitted | Refused)


def test_a_header_name_that_is_not_utf_8_makes_a_record_unreadable() -> None:
    """confluent-kafka raises SystemError for such a header, which ended one worker after the other."""

    class BrokenHeaders(FakeMessage):
        def headers(self) -> list[tuple[str, bytes | None]] | None:
            raise SystemError("returned a result with an exception set")

    read = origin_of(cast(Message, BrokenHeaders(origin())))
    search_service = service("search", _SETTINGS)
    decision = Admission(search_service, _SETTINGS, Codec()).decide(read)
    assert isinstance(decision, DeadLetter)
    assert "not UTF-8" in decision.reason
    assert decision.origin.value == origin().value


@given(st.binary(max_size=30))
def test_no_deadline_header_raises(raw: bytes) -> None:
    deadline(raw)


@pytest.mark.parametrize("start", [b'{"query": 5, "x": ', b'{"query": "heart", "x": '])
def test_nesting_beyond_the_decoder_is_answered_if_it_ends(start: bytes) -> None:
    decision = decide(start + b"[" * 20_000 + b"]" * 20_000 + b', "request_id": "r9"}')
    assert isinstance(decision, Refused)
    assert (decision.status, decision.request_id) == ("invalid", "r9")
    assert isinstance(decide(start + b"[" * 20_000 + b"]" * 20_000), DeadLetter)


def _is_json(fields: object) -> bool:
    """Whether JSON can have these values: no NaN, no infinity, no lone surrogate."""
    try:
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def admission(**more: object) -> tuple[Admission, Callable[..., Origin]]:
    """An admission with these search settings, and a function that makes a record of an age in milliseconds."""
    settings = Settings.model_validate({"search": more})
    search_service = service("search", settings)

    def aged(ms: int, headers: Headers = (), topic: str = search_service.requests) -> Origin:
        return replace(origin(search(), headers, topic=topic), timestamp_ms=int(time.time() * 1000) - ms)

    return Admission(search_service, settings, Codec()), aged


def test_a_request_older_than_max_wait_is_answered_overloaded() -> None:
    decider, aged = admission(max_wait_ms=5000)
    decision = decider.decide(aged(60_000))
    assert isinstance(decision, Refused)
    assert decision.status == "overloaded"
    assert "search.max_wait_ms is 5000" in decision.reason
    assert isinstance(decider.decide(aged(10)), Admitted)


def test_bulk_requests_may_wait_and_so_may_all_by_default() -> None:
    decider, aged = admission(max_wait_ms=5000)
    assert isinstance(decider.decide(aged(60_000, topic="search.requests.bulk")), Admitted)
    decider, aged = admission()
    assert isinstance(decider.decide(aged(10**9)), Admitted)


def test_a_deadline_decides_alone_where_there_is_one() -> None:
    decider, aged = admission(max_wait_ms=5000)
    ahead = str(int(time.time() * 1000) + 60_000).encode()
    assert isinstance(decider.decide(aged(60_000, [("deadline-ms", ahead)])), Admitted)


def test_a_deadline_that_would_pass_while_the_batch_is_computed_is_answered() -> None:
    decider, aged = admission()
    request = aged(0, [("deadline-ms", str(int(time.time() * 1000) + 30_000).encode())])
    decision = decider.decide(request, 60_000)
    assert isinstance(decision, Refused)
    assert decision.status == "deadline_exceeded"
    assert isinstance(decider.decide(request, 1), Admitted)


def test_what_is_shed_is_answered_overloaded() -> None:
    decider, aged = admission()
    decision = decider.decide(aged(0), shed=True)
    assert isinstance(decision, Refused)
    assert decision.status == "overloaded"


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 1, 86_400_000, 1_293_839_999_999, 4_000_000_000_000])
def test_a_record_without_a_time_counts_as_new_when_it_is_read(timestamp_ms: int) -> None:
    """By its timestamp it had waited for 57 years: it was refused where the wait is bounded, and it ruined averages."""
    now = time.time() * 1000
    record = origin_of(cast(Message, FakeMessage(replace(origin(), timestamp_ms=timestamp_ms))))
    assert now - 1 <= record.timestamp_ms <= time.time() * 1000


@pytest.mark.parametrize("timestamp_ms", [1_293_840_000_000, 1_700_000_000_000])
def test_any_other_time_is_kept(timestamp_ms: int) -> None:
    record = origin_of(cast(Message, FakeMessage(replace(origin(), timestamp_ms=timestamp_ms))))
    assert record.timestamp_ms == timestamp_ms


def test_what_is_too_large_to_be_read_is_not_copied_and_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed, a record passes its topic's limit; unpacked, it may be a thousand times as large."""
    monkeypatch.setattr(admission_module, "_LARGEST", 40)
    small, large = (origin_of(cast(Message, FakeMessage(origin(b"x" * size)))) for size in (40, 41))
    assert (small.value, small.oversize) == (b"x" * 40, 0)
    assert (large.value, large.oversize) == (None, 41)
    decision = Admission(service("search", _SETTINGS), _SETTINGS, Codec(), lambda _: ()).decide(large)
    assert isinstance(decision, DeadLetter)
    assert decision.reason == "it has 41 bytes; at most 40 are read"
