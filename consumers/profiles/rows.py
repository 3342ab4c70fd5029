"""A profile as a row of the store: numbers instead of item ids, ten bytes for a recent item, four for an earlier one.

    number of recent items | items, 4 bytes each: the earlier ones, then the recent | times of the recent, 6 bytes each

Both are oldest first. Times are needed only to merge the profiles of one user in two partitions.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from schemas.events import liked
from schemas.records import Profile

_TIME = 6  # bytes of a time in milliseconds: until the year 10889
_LATEST = (1 << 8 * _TIME) - 1


def packed(profile: Profile, number: Callable[[str], int]) -> bytes:
    """The row, of what the user likes and what they met earlier; `number` gives an item's number."""
    items = liked(profile.items)
    numbers = [len(items), *map(number, profile.earlier), *(number(item.item_id) for item in items)]
    times = b"".join(min(max(0, item.timestamp), _LATEST).to_bytes(_TIME, "little") for item in items)
    return array("I", numbers).tobytes() + times


def unpacked(rows: Sequence[bytes]) -> list[int]:
    """The items of one user, oldest first, from one row for each partition; raises ValueError for what is no row."""
    if len(rows) == 1:
        return _split(rows[0])[0].tolist()
    earlier, recent = list[int](), list[tuple[int, int]]()
    for row in rows:
        items, times = _split(row)
        first = len(items) - len(times) // _TIME
        earlier += items[:first]
        moments = (int.from_bytes(times[at : at + _TIME], "little") for at in range(0, len(times), _TIME))
        recent += zip(moments, items[first:], strict=True)
    recent.sort(key=lambda pair: pair[0])
    return earlier + [item for _, item in recent]


def _split(row: bytes) -> tuple[array[int], bytes]:
    numbers = array("I")
    end = len(row) - _TIME * int.from_bytes(row[:4], "little")
    numbers.frombytes(row[4:end])
    if end < 4 or len(numbers) * 4 != end - 4:
        raise ValueError(f"a row of {len(row)} bytes is cut")
    return numbers, row[end:]
