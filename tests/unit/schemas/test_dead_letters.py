"""What is written into the headers of a dead letter can be read back, whatever headers its record had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letters import dead_letter_headers, is_left_out, original_headers, said

_OURS = ["reason", "topic", "partition", "offset", "timestamp", "worker", "value-bytes"]
_names = st.one_of(st.text(max_size=12), st.sampled_from([f"error-{name}" for name in _OURS]))
_headers = st.lists(st.tuples(_names, st.none() | st.binary(max_size=12)), max_size=6)
_numbers = st.integers(0, 2**62)


@given(_headers, st.text(max_size=40), _numbers, _numbers, _numbers)
def test_what_is_said_and_the_record_s_own_headers_come_back(
    headers: list[tuple[str, bytes | None]], reason: str, partition: int, offset: int, at: int
) -> None:
    try:
        reason.encode()
    except UnicodeEncodeError:
        return
    letter = dead_letter_headers(headers, reason, "search.requests", partition, offset, at, "search-0")
    again = said(letter)
    assert original_headers(letter) == headers
    assert again is not None
    assert (again.reason, again.topic, again.worker) == (reason, "search.requests", "search-0")
    assert (again.partition, again.offset, again.timestamp_ms) == (partition, offset, at)
    assert not is_left_out(letter)
    assert is_left_out([*letter, ("error-value-bytes", b"12")])


@given(_headers)
def test_headers_of_others_say_nothing(headers: list[tuple[str, bytes | None]]) -> None:
    named = [header for header in headers if header[0] != "error-reason"]
    assert said(named) is None
    assert original_headers(named) == named


def test_a_place_that_is_no_number_says_nothing() -> None:
    letter = dead_letter_headers([], "no reason", "search.requests", 1, 2, 3, "search-0")
    wrong = [(name, b"-1" if name == "error-offset" else value) for name, value in letter]
    assert said(wrong) is None
