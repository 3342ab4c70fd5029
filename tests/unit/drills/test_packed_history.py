"""A history in a report: nothing is lost by packing it, and no figure changes by shortening it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drills.evidence.checker import measure
from drills.evidence.columns import columns
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.ordinary import measured_with, shortened
from drills.evidence.packed_history import PackedHistory, pack, unpack
from drills.evidence.packed_numbers import pack_floats, pack_ints, unpack_floats, unpack_ints
from tests.unit.drills.histories import history

TIMES = st.floats(-1e9, 1e9, allow_nan=False)
SIGHTINGS = st.builds(
    Sighting, TIMES, st.integers(-1, 9), st.integers(-1, 2**60), st.sampled_from(["ok", "error", "<&>"]), st.text(),
    st.integers(0, 2**50), st.integers(-1, 200),
)  # fmt: skip
REQUESTS = st.builds(
    Request, st.text(), st.integers(0, 9), TIMES, TIMES, st.sampled_from(["acked", "failed", "unknown"]),
    st.integers(-1, 2**60), st.lists(SIGHTINGS, max_size=3).map(tuple), st.integers(0, 200),
    st.lists(st.integers(0, 99), max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**61), 2**61 - 1)))
def test_whole_numbers_stay_as_they_are(values: list[int]) -> None:
    assert unpack_ints(pack_ints(values)).tolist() == values


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False)))
@example([0.0, -0.0])  # its sign is lost in whole numbers, and no number is left to find a scale by
def test_floats_stay_as_they_are_to_the_last_bit(values: list[float]) -> None:
    floats = np.array(values, dtype=np.float64)
    for near in (None, np.full(len(floats), 1e300)):
        assert unpack_floats(pack_floats(floats, near), near).tobytes() == floats.tobytes()


@settings(max_examples=40)
@given(st.lists(REQUESTS, max_size=6))
def test_any_history_unpacks_to_itself(requests: list[Request]) -> None:
    whole = History(tuple(requests), ("a", "b"), (Fault(1.5, frozenset({0, 2}), "kill"),), 9.25)
    text = msgspec.msgpack.encode(pack(whole))
    assert unpack(msgspec.msgpack.decode(text, type=PackedHistory)) == whole


def test_a_drills_history_takes_less_than_nine_bytes_a_request() -> None:
    import gzip

    whole = history(6000)
    assert unpack(pack(whole)) == whole
    assert len(gzip.compress(msgspec.msgpack.encode(pack(whole)), 9)) / 6000 < 9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.2]), st.integers(0, 400))
def test_a_shortened_history_has_the_same_figures(seed: int, trouble: float, count: int) -> None:
    whole = history(count, seed=seed, trouble=trouble)
    short, ordinary = shortened(whole, columns(whole))
    assert measured_with(short, ordinary) == measure(whole)


def test_of_a_good_run_only_the_requests_that_decide_stay() -> None:
    whole = history(3000)
    short, _ = shortened(whole, columns(whole))
    assert len(short.requests) == 3, "the first answers of two struck partitions, and the request sent last"


def test_what_nobody_packed_is_refused() -> None:
    packed = pack(history(30))
    for changed in (
        msgspec.structs.replace(packed, sent=pack_ints([7] * 30)),
        msgspec.structs.replace(packed, k=pack_ints([1])),
        msgspec.structs.replace(packed, offset=msgspec.structs.replace(packed.offset, width=99)),
    ):
        with pytest.raises(ValueError, match=r"[a-z]"):
            unpack(changed)
