"""A batch is a run of the oldest records, as long as its limits allow; no record is skipped."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.requests.admission import Origin
from consumers.service import service
from consumers.serving.pace import Pace
from consumers.serving.selection import Limits, pick
from standfast.core.settings import Settings
from tests.support.origins import origin

_RECORD = st.tuples(st.integers(0, 50), st.booleans())


def waiting_of(records: list[tuple[int, bool]]) -> deque[Origin]:
    """Records with these sizes in bytes; late ones have the key b"late"."""
    return deque(
        origin(b"x" * size, key=b"late" if late else None, position=(0, number))
        for number, (size, late) in enumerate(records)
    )


def is_late(record: Origin) -> bool:
    return record.key == b"late"


@given(st.lists(_RECORD, max_size=60), st.integers(1, 8), st.integers(1, 120), st.none() | st.integers(1, 20))
def test_batches_follow_one_another_without_a_gap_and_keep_their_limits(
    records: list[tuple[int, bool]], most: int, budget: int, keep: int | None
) -> None:
    waiting = waiting_of(records)
    taken: list[int] = []
    while waiting:
        before = len(waiting)
        picked = pick(waiting, Limits(most, budget), is_late, keep)
        assert picked.records, "with something waiting there is always a batch"
        assert picked.shed == (0 if keep is None else max(0, before - keep))
        computed = [record for record in picked.records[picked.shed :] if not is_late(record)]
        assert len(computed) <= most
        assert sum(len(record.value or b"") for record in computed[:-1]) <= budget or len(computed) == 1
        assert len(computed) <= 1 or sum(len(record.value or b"") for record in computed) <= budget
        assert (picked.reason == "drained") == (not waiting)
        taken += [record.offset for record in picked.records]
    assert taken == list(range(len(records)))


def test_what_will_be_refused_takes_nobodys_place() -> None:
    waiting = waiting_of([(10, True)] * 100 + [(10, False)] * 5)
    picked = pick(waiting, Limits(4, 1000), is_late)
    assert (len(picked.records), picked.reason) == (104, "full")


def test_one_record_larger_than_the_budget_is_computed_alone() -> None:
    waiting = waiting_of([(5000, False), (1, False)])
    picked = pick(waiting, Limits(32, 100), is_late)
    assert ([record.offset for record in picked.records], picked.reason) == ([0], "budget")


def test_newest_first_sheds_the_oldest() -> None:
    waiting = waiting_of([(1, False)] * 10)
    picked = pick(waiting, Limits(2, 100), is_late, keep=4)
    assert ([record.offset for record in picked.records], picked.shed) == (list(range(8)), 6)


def pace(**more: object) -> Pace:
    return Pace(service("search", Settings.model_validate({"search": {"batch": 10, **more}})))


def test_without_a_backlog_nobody_is_refused_for_what_is_ahead() -> None:
    search_pace = pace()
    search_pace.answered(10, 1.0)
    assert search_pace.next_batch(10, None) == (10, 0)
    assert search_pace.next_batch(11, None) == (10, 2000), "with room for what is not known yet"


def test_batches_of_no_backlog_end_the_caution_that_a_stall_has_left_and_cause_none() -> None:
    search_pace = pace()
    search_pace.answered(1, 3.0, drained=True)
    assert search_pace.next_batch(11, None) == (10, 0), "no backlog has been measured"
    search_pace.answered(10, 0.02)
    quick = search_pace.next_batch(11, None)[1]
    search_pace.answered(10, 2.0)
    stalled = search_pace.next_batch(11, None)[1]
    assert stalled > 1500
    for _ in range(25):
        search_pace.answered(1, 0.02, drained=True)
    assert search_pace.next_batch(11, None)[1] < 200
    for _ in range(25):
        search_pace.answered(1, 0.5, drained=True)
    assert search_pace.next_batch(11, None)[1] < 200, "a slow batch alone says nothing of a backlog"
    assert quick < 100


@given(st.lists(st.floats(0.09, 0.11), min_size=60, max_size=90))
def test_what_is_ahead_is_hardly_ever_underestimated_nor_by_much_overestimated(seconds: list[float]) -> None:
    search_pace = pace()
    for duration in seconds:
        search_pace.took(10, 0.05)
        search_pace.answered(10, duration)
    assert 90 <= search_pace.next_batch(11, None)[1] <= 200


def test_a_batch_takes_no_more_than_half_of_the_time_that_its_requests_have() -> None:
    search_pace = pace()
    search_pace.took(10, 1.0)
    assert search_pace.next_batch(11, None)[0] == 10, "they may take as long as they like"
    records, milliseconds = search_pace.next_batch(5, 650)
    assert (records, round(milliseconds)) == (3, 300)
    assert search_pace.next_batch(3, 650) == (3, 0), "that is all there is"
    assert search_pace.next_batch(5, 10)[0] == 1


def test_what_is_kept_is_what_can_be_computed_in_time() -> None:
    search_pace = pace(max_wait_ms=2000)
    assert search_pace.keep == 10, "a batch, while the pace is not known"
    search_pace.took(10, 0.5)
    assert search_pace.keep == 40
    search_pace = pace()
    search_pace.took(10, 0.5)
    assert search_pace.keep == 10, "500 ms where nothing is set"


def test_bulk_batches_are_short() -> None:
    search_pace = pace()
    assert search_pace.bulk == 1
    search_pace.took(1, 0.004)
    assert search_pace.bulk == 5
    search_pace = pace()
    search_pace.took(1, 1.0)
    assert search_pace.bulk == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=40), st.integers(1, 20))
def test_newest_first_sheds_by_age_over_all_partitions_and_each_keeps_its_order(
    records: list[tuple[int, int]], keep: int
) -> None:
    offsets = [0, 0, 0]
    waiting: deque[Origin] = deque()
    for partition, timestamp in records:
        waiting.append(replace(origin(b"x", position=(partition, offsets[partition])), timestamp_ms=timestamp))
        offsets[partition] += 1
    picked = pick(waiting, Limits(40, 1000), is_late, keep)
    for partition in range(3):
        ordered = [record.offset for record in picked.records if record.partition == partition]
        assert ordered == list(range(offsets[partition]))
    shed, kept = picked.records[: picked.shed], picked.records[picked.shed :]
    assert len(shed) == max(0, len(records) - keep)
    for old in shed:  # a kept record may be older than a shed one only if a record before it in its partition is not
        ahead = [older for older in kept if older.timestamp_ms < old.timestamp_ms]
        assert all(_behind(older, picked.records) >= old.timestamp_ms for older in ahead)


def _behind(record: Origin, records: list[Origin]) -> int:
    """The latest timestamp in the record's partition up to its offset."""
    return max(
        other.timestamp_ms for other in records if other.partition == record.partition and other.offset <= record.offset
    )
