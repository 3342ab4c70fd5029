"""Shares of keys: the same everywhere, larger ones hold smaller ones, and as large as they say."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.serving.shares import limit, place

KEYS = st.binary(max_size=40)
SHARES = st.floats(0, 1)
SALTS = st.sampled_from(["search@3", "search@4", "recommend@3", "a" * 200 + "@1"])


@given(SALTS, KEYS, SHARES, SHARES)
def test_what_is_in_a_share_is_in_every_larger_one(salt: str, key: bytes, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert limit(smaller) <= limit(larger)
    assert not place(salt, key) < limit(smaller) or place(salt, key) < limit(larger)


@given(SALTS, KEYS)
def test_nothing_is_in_no_share_and_all_in_the_whole(salt: str, key: bytes) -> None:
    assert not place(salt, key) < limit(0.0)
    assert place(salt, key) < limit(1.0)


def test_places_are_the_same_in_another_process() -> None:
    """Hashes of Python's own differ from process to process."""
    code = "from consumers.serving.shares import place; print([place('search@3', b'u%d' % n) for n in range(50)])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == str([place("search@3", b"u%d" % number) for number in range(50)])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_is_as_large_as_it_says(share: float) -> None:
    """By five standard deviations of 20,000 draws; keys as alike as users' ids are."""
    count = 20_000
    inside = sum(place("search@3", b"user-%d" % number) < limit(share) for number in range(count))
    assert abs(inside - share * count) < 5 * (count * share * (1 - share)) ** 0.5


def test_each_canary_has_other_keys() -> None:
    """Else the same users would be those on whom every version is tried."""
    keys = [b"user-%d" % number for number in range(2_000)]
    first, second = ({key for key in keys if place(salt, key) < limit(0.1)} for salt in ("search@3", "search@4"))
    assert len(first & second) < 0.3 * len(first)
