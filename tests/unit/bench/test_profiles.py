"""The benchmark of the profile stores, in short: the disk space of a million users."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from bench.growth import kept
from bench.growth.profiles import measured


def test_a_million_users_of_fifty_items_fit_into_a_gigabyte(tmp_path: Path) -> None:
    """The difference between 4,000 and 2,000 users leaves out what an empty store takes."""
    few, many = (measured(tmp_path / str(users), users, 50) for users in (2_000, 4_000) if _made(tmp_path / str(users)))
    assert (many.bytes - few.bytes) / 2_000 * 1_000_000 < 1_000_000_000
    assert many.lookup_us > 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_stream_processors_file_takes_about_as_much(tmp_path: Path) -> None:
    few, many = (
        kept.measured(tmp_path / str(users), users, 50) for users in (500, 2_500) if _made(tmp_path / str(users))
    )
    assert (many.bytes - few.bytes) / 2_000 < 1_500
    assert many.lookup_us > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_users_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    """The stream processor once kept 5 KB of each user in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = kept.measured(tmp_path, 1_000_000, 50)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    assert cost.bytes < 1_500_000_000
