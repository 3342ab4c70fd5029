"""The benchmark of the profiles, in short: what a million users would take of a disk."""

from __future__ import annotations

from pathlib import Path

from bench.growth.profiles import measured


def test_a_million_users_of_fifty_items_fit_into_a_gigabyte(tmp_path: Path) -> None:
    """Taken from 2,000 and 4,000 users, so that what a store takes for itself is not taken for theirs."""
    few, many = (measured(tmp_path / str(users), users, 50) for users in (2_000, 4_000) if _made(tmp_path / str(users)))
    assert (many.bytes - few.bytes) / 2_000 * 1_000_000 < 1_000_000_000
    assert many.lookup_us > 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
