"""A profile as a row of the store: numbers instead of item ids, ten bytes for a recent item, four for an earlier one.

    number of recent items | items, 4 bytes each: the earlier ones, then the recent | times of the recent, 6 bytes each

Items and times are oldest first. Times are needed only to merge one user's profiles in two partitions.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from schemas.events import liked
from schemas.records import Profile

_TIME = 6  # bytes of a time in epoch milliseconds: enough until the year 10889
_LATEST = (1 << 8 * _TIME) - 1


def packed(profile: Profile, number: Callable[[str], int]) -> bytes:
    """The row with the items that the user likes, and with earlier items; `number` gives an item's number."""
    items = liked(profile.items)
    numbers = [len(items), *map(number, profile.earlier), *(number(item.item_id) for item in items)]
    times = b"".join(min(max(0, item.timestamp), _LATEST).to_bytes(_TIME, "little") for item in items)
    return array("I", numbers).tobytes() + times


def unpacked(rows: Sequence[bytes]) -> list[int]:
    """The numbers of one user's items, oldest first, from one row per partition; raises ValueError for a broken row."""
    if len(rows) == 1:
        return _split(rows[0])[0].tolist()
    earlier, recent = list[int](), list[tuple[int, int]]()
    for row in rows:
        items, times = _split(row)
        first = len(items) - len(times) // _TIME
        earlier += items[:first]
        timestamps = (int.from_bytes(times[at : at + _TIME], "little") for at in range(0, len(times), _TIME))
        recent += zip(timestamps, items[first:], strict=True)
    recent.sort(key=lambda pair: pair[0])
    return earlier + [item for _, item in recent]


def _split(row: bytes) -> tuple[array[int], bytes]:
    numbers = array("I")
    end = len(row) - _TIME * int.from_bytes(row[:4], "little")
    numbers.frombytes(row[4:end])
    if end < 4 or len(numbers) * 4 != end - 4:
        raise ValueError(f"a row of {len(row)} bytes is cut")
    return numbers, row[end:]
