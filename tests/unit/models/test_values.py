"""Ids, times and numbers follow one rule in CSV, JSON lines and Parquet, whatever type a column has."""

from __future__ import annotations

import datetime
import decimal
import json
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.data.catalogue import read_catalogue
from models.data.interactions import Interactions, read_interactions
from models.data.rows import Skipped
from models.data.values import epoch_ms, identity, whole_ids
from standfast.core.errors import DataError

_AT = 1_700_000_000_000
_ROWS = 40


def _parquet(folder: Path, **columns: Any) -> tuple[Interactions, Skipped]:
    table = {
        "user_id": [f"u{row}" for row in range(_ROWS)],
        "item_id": ["a"] * _ROWS,
        "timestamp": [_AT] * _ROWS,
        **columns,
    }
    pq.write_table(pa.table(table), folder / "i.parquet")
    return read_interactions(folder / "i.parquet")


_SHAPES = {
    "all null": pa.nulls(_ROWS),
    "integers": pa.array(range(_ROWS)),
    "unsigned": pa.array(range(_ROWS), pa.uint64()),
    "float": pa.array(map(float, range(_ROWS))),
    "half float": pa.array(np.arange(_ROWS, dtype=np.float16)),
    "not a number": pa.array([float("nan")] * _ROWS),
    "boolean": pa.array([True] * _ROWS),
    "decimal": pa.array(map(decimal.Decimal, range(_ROWS)), pa.decimal128(20, 4)),
    "text view": pa.array(["view"] * _ROWS, pa.string_view()),
    "large text": pa.array(["view"] * _ROWS, pa.large_string()),
    "category": pa.array(["view", "purchase"] * (_ROWS // 2)).dictionary_encode(),
    "category of numbers": pa.array([1, 2] * (_ROWS // 2)).dictionary_encode(),
    "category with nulls": pa.array(["view", None] * (_ROWS // 2)).dictionary_encode(),
    "bytes": pa.array([b"\xff"] * _ROWS),
    "list": pa.array([[1.0]] * _ROWS),
    "list of nulls": pa.array([None] * _ROWS, pa.list_(pa.string())),
    "struct": pa.array([{"a": 1}] * _ROWS),
    "map": pa.array([[("a", 1)]] * _ROWS, pa.map_(pa.string(), pa.int32())),
    "time stamp": pa.array([_AT] * _ROWS, pa.timestamp("ms", tz="Europe/Vienna")),
    "nanoseconds": pa.array([_AT * 10**6 + 1] * _ROWS, pa.timestamp("ns")),
    "far time stamp": pa.array([2**62] * _ROWS, pa.timestamp("us")),
    "date": pa.array([datetime.date(2023, 6, 15)] * _ROWS),
    "time of day": pa.array([datetime.time(12)] * _ROWS),
    "duration": pa.array([datetime.timedelta(1)] * _ROWS),
    "uuid": pa.array([uuid.UUID(int=1).bytes] * _ROWS, pa.uuid()),
    "words": pa.array(["five"] * _ROWS),
    "number words": pa.array(["5"] * _ROWS),
    "blank": pa.array([" "] * _ROWS),
}


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "event", "value"])
@pytest.mark.parametrize("shape", _SHAPES)
def test_any_type_in_any_column_is_read_or_one_clear_error(tmp_path: Path, column: str, shape: str) -> None:
    try:
        events, skipped = _parquet(tmp_path, **{column: _SHAPES[shape]})
    except DataError as problem:
        assert "i.parquet" in str(problem)  # noqa: PT017 - either outcome is right
    else:
        assert len(events) + sum(skipped.counts.values()) >= _ROWS


@pytest.mark.parametrize("shape", ["all null", "not a number", "list", "boolean", "blank"])
def test_an_id_column_without_ids_is_refused_by_name(tmp_path: Path, shape: str) -> None:
    with pytest.raises(DataError, match=r"column item_id: (empty|neither text nor a number)"):
        _parquet(tmp_path, item_id=_SHAPES[shape])


def test_a_column_of_nulls_is_as_none(tmp_path: Path) -> None:
    events, skipped = _parquet(tmp_path, event=pa.nulls(_ROWS), value=pa.nulls(_ROWS))
    assert (len(events), skipped.counts) == (_ROWS, {})
    assert set(events.weight.tolist()) == {1.0}


_IDS = [10_000_000_000 + number for number in range(30)]


def _csv_of(ids: list[str], path: Path) -> Path:
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"u,{item_id},{_AT}\n" for item_id in ids))
    return path


def test_whole_number_ids_are_the_same_ids_in_every_format_and_type(tmp_path: Path) -> None:
    """pandas turns a column of whole-number ids into floats when an id is missing."""
    items_by_format = {
        "float": _parquet(tmp_path, item_id=pa.array([float(number) for number in _IDS] + [1e10] * 10))[0].items,
        "decimal": _parquet(
            tmp_path, item_id=pa.array(map(decimal.Decimal, [*_IDS, *_IDS[:10]]), pa.decimal128(14, 2))
        )[0].items,
    }
    for name, texts in {
        "csv": map(str, _IDS),
        "csv of floats": (f"{number}.0" for number in _IDS),
        "csv of scientific": (f"{number:.10e}" for number in _IDS),
        "csv of Java's": (f"1.{number - 10_000_000_000:010}E10" for number in _IDS),
    }.items():
        items_by_format[name] = read_interactions(_csv_of(list(texts), tmp_path / "i.csv"))[0].items
    for name, write in {"json": int, "json of floats": float, "json of text": lambda number: f"{number}.0"}.items():
        rows = [json.dumps({"user_id": "u", "item_id": write(number), "timestamp": _AT}) for number in _IDS]  # type: ignore[operator]
        (tmp_path / "i.jsonl").write_text("\n".join(rows))
        items_by_format[name] = read_interactions(tmp_path / "i.jsonl")[0].items
    assert {
        name: items == [str(number) for number in _IDS] for name, items in items_by_format.items()
    } == dict.fromkeys(items_by_format, True)


def test_a_catalogue_of_float_ids_is_about_the_same_products(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("item_id,title\n10000000000.0,a\n1.0000000001e+10,b\n")
    (tmp_path / "c.jsonl").write_text(
        '{"item_id": 10000000000.0, "title": 1984}\n{"item_id": 1.0000000001e10, "title": "b"}\n'
    )
    assert read_catalogue(tmp_path / "c.csv")[0].item_ids == ["10000000000", "10000000001"]
    numbers = read_catalogue(tmp_path / "c.jsonl")[0]
    assert (numbers.item_ids, numbers.titles) == (["10000000000", "10000000001"], ["1984", "b"])


@pytest.mark.parametrize("ids", [["1.0", "1.1", "2.0"], ["1.0", "1e+00"], ["1.0", "A7"], [], ["007.0"], ["12e4x"]])
def test_codes_that_only_look_like_numbers_stay_as_they_are(ids: list[str]) -> None:
    assert whole_ids(ids) == ids


@pytest.mark.parametrize("value", ["1.23457E+11", "1E+11", 2.0**60, float("inf")])
def test_ids_whose_digits_are_lost_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="digits"):
        identity(value)


@pytest.mark.parametrize("name", ["i.csv", "i.jsonl", "i.parquet"])
def test_blank_ids_are_left_out_and_counted_in_every_format(tmp_path: Path, name: str) -> None:
    rows = [(f"u{row}", "a", _AT) for row in range(100)] + [("", "a", _AT), (" ", "a", _AT), ("u", "  ", _AT)]
    path = tmp_path / name
    if name == "i.csv":
        path.write_text("user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
    elif name == "i.jsonl":
        columns = ("user_id", "item_id", "timestamp")
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        user, item, at = zip(*rows, strict=True)
        pq.write_table(pa.table({"user_id": user, "item_id": item, "timestamp": at}), path)
    events, skipped = read_interactions(path)
    assert (len(events), skipped.total) == (100, 3)
    assert "" not in events.users
    assert "" not in events.items


_NO_TIMES = [20230615, 44927.5, 2023, 20230615120000, 1, 200_000_000, 99_999_999_999]


@pytest.mark.parametrize("stamp", [*_NO_TIMES, *map(str, _NO_TIMES), "9999-12-31", "2099-01-01", "1970-01-01", True])
def test_what_says_a_time_nothing_was_sold_at_is_no_time(stamp: object) -> None:
    with pytest.raises(ValueError, match=r"1990|tomorrow|neither"):
        epoch_ms(stamp)


@pytest.mark.parametrize("days", [-0.5, 0.5])
def test_a_clock_of_another_zone_is_no_reason_to_lose_an_event(days: float) -> None:
    now = time.time() + days * 86400
    assert epoch_ms(now) == pytest.approx(now * 1000, abs=1)


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (pa.array([_AT] * 39 + [10**11 // 2], pa.timestamp("ms")), 39),
        (pa.array([_AT] * 39 + [253_402_214_400_000], pa.timestamp("ms")), 39),
        (pa.array([_AT // 1000] * 40, pa.timestamp("s")), 40),
        (pa.array([_AT * 10**6 + 1] * 40, pa.timestamp("ns", tz="Asia/Tokyo")), 40),
        (pa.array([datetime.date(2023, 11, 14)] * 40), 40),
        (pa.array([_AT / 1000] * 40), 40),
        (pa.array(["2023-11-14T22:13:20Z"] * 40).dictionary_encode(), 40),
        (pa.array([decimal.Decimal(_AT)] * 40), 40),
    ],
)
def test_parquet_times_are_what_they_say(tmp_path: Path, column: pa.Array, kept: int) -> None:
    """A Parquet timestamp in 1971 was taken for seconds and became a time in the year 3554."""
    events, skipped = _parquet(tmp_path, timestamp=column)
    assert (len(events), skipped.total) == (kept, _ROWS - kept)
    assert {at // 86_400_000 for at in events.at.tolist()} == {_AT // 86_400_000}


def test_times_that_cannot_be_are_said_once_with_their_count(tmp_path: Path) -> None:
    stamps = [_AT] * 100 + [2023, 20230615, 44927] + [253_402_214_400_000] * 2
    path = tmp_path / "i.csv"
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"u,a,{stamp}\n" for stamp in stamps))
    events, skipped = read_interactions(path)
    assert len(events) == 100
    assert [line.split(":")[0] for line in skipped.lines()] == ["3 skipped", "2 skipped"]
    assert "line 102, value '2023'" in skipped.lines()[0]
