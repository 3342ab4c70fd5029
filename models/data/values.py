"""Converts cells of a shop's file, the same in CSV, JSON lines and Parquet: ids, times, numbers.

Each function raises ValueError with a text that says what is wrong, to be printed after the name of the column.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

EARLIEST_MS = 631_152_000_000  # 1990-01-01; dates such as 20230615, 44927.5 or 2023 read as seconds are in 1970
_AHEAD_MS = 24 * 3600 * 1000  # more than clocks and time zones differ by
_SECONDS_BELOW = 10**11  # as seconds the year 5138, as milliseconds 1973
_EXACT = 2**53  # from here on a float cannot hold every integer
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)\.0+|-?\d(?:\.\d+)?e\+?\d+|-?\d\.\d+E\d+", re.ASCII)
_SPREADSHEET = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.ASCII)


def identity(value: object) -> str:
    """An id as text, from a cell of any type; the number 10000000000.0 is "10000000000"."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, float | Decimal):
        return _number_id(value)
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise ValueError("neither text nor a number" if value is not None else "empty")  # noqa: TRY004
    text = str(value).strip()
    if not text:
        raise ValueError("empty")
    if _SPREADSHEET.fullmatch(text):
        raise ValueError("a spreadsheet has cut digits off; format the column as text and save it again")
    return text


def whole_ids(ids: Sequence[str]) -> list[str]:
    """The ids of a column of text, without the `.0` or exponent that a program added to all of them.

    They are returned unchanged if not all look like such numbers, or if two ids would become the same.
    """
    if not ids or not all(map(_WHOLE.fullmatch, ids)):
        return list(ids)
    numbers = [Decimal(text) for text in ids]
    if any(number.adjusted() > 40 or number != number.to_integral_value() for number in numbers):
        return list(ids)
    whole = [str(int(number)) for number in numbers]
    return whole if len(set(whole)) == len(set(ids)) else list(ids)


def epoch_ms(stamp: object) -> int:
    """Epoch milliseconds of epoch ms, epoch s or ISO 8601; times without a zone are UTC."""
    if isinstance(stamp, bytes):
        stamp = stamp.decode()
    if isinstance(stamp, str):
        return _text_ms(stamp.strip())
    if isinstance(stamp, bool) or not isinstance(stamp, int | float | Decimal) or not math.isfinite(stamp):
        raise ValueError("neither epoch ms, epoch s nor ISO 8601")
    number = float(stamp)
    return plausible(int(number if abs(number) >= _SECONDS_BELOW else number * 1000))


def plausible(moment: int) -> int:
    """`moment`, in epoch milliseconds, if an event can have it: from 1990 to a day from now."""
    if moment < EARLIEST_MS:
        raise ValueError("before 1990, or a date written as a number; give epoch ms, epoch s or ISO 8601 (2023-06-15)")
    if moment > time.time() * 1000 + _AHEAD_MS:
        raise ValueError("later than tomorrow; give epoch ms, epoch s or ISO 8601")
    return moment


def quantity(value: object) -> float | None:
    """A number, None where the cell is empty."""
    if isinstance(value, bytes):
        value = value.decode()
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("not a number")  # noqa: TRY004
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError("not a number") from None


def _number_id(value: float | Decimal) -> str:
    if math.isnan(value):
        raise ValueError("empty")
    if not math.isfinite(value) or (isinstance(value, float) and abs(value) >= _EXACT):
        raise ValueError("a number of more digits than its type holds; keep ids as text or whole numbers")
    return str(int(value)) if value == int(value) else str(value)


def _text_ms(stamp: str) -> int:
    try:
        seconds_or_ms = float(stamp)
    except ValueError:
        return plausible(_iso_ms(stamp))
    return epoch_ms(seconds_or_ms)


def _iso_ms(stamp: str) -> int:
    try:
        moment = datetime.fromisoformat(stamp.removesuffix(" UTC"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("neither epoch ms, epoch s nor ISO 8601") from None
