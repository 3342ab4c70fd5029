"""A user's files: every format is read, and every error names its line and the remedy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import shop
from models.data.catalogue import read_catalogue
from models.data.interactions import epoch_ms, read_interactions, weight_of
from standfast.core.errors import DataError

_ROWS = [("u1", "a", 1700000000000, "purchase", 2.5), ("u2", "b", 1700000001000, "view", None)]
_CSV = "user_id,item_id,timestamp,event,value\nu1,a,1700000000000,purchase,2.5\nu2,b,1700000001000,view,\n"


def _write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz", "c.tsv", "c.jsonl", "c.jsonl.gz"])
def test_a_catalogue_reads_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    rows = [
        {"item_id": "a", "title": "Red lamp", "description": "Warm, soft", "category": "Light", "price": 2.5},
        {"item_id": "b", "title": "Blue cup"},
    ]
    if "json" in name:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = (
            'item_id,title,description,category,price,colour\na,Red lamp,"Warm, soft",Light,2.5,red\nb,Blue cup,,,,\n'
        )
        text = (
            text.replace('"Warm, soft"', "W").replace(",", "\t").replace("W\t", "Warm, soft\t")
            if "tsv" in name
            else text
        )
    catalogue, skipped = read_catalogue(_write(tmp_path / name, text))
    assert catalogue.item_ids == ["a", "b"]
    assert catalogue.texts == ["Red lamp. Warm, soft. Light", "Blue cup"]
    assert skipped.total == 0


@pytest.mark.parametrize("name", ["i.csv", "i.csv.gz", "i.jsonl", "i.parquet"])
def test_interactions_read_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    columns = ["user_id", "item_id", "timestamp", "event", "value"]
    path = tmp_path / name
    if name == "i.parquet":
        pq.write_table(pa.table(dict(zip(columns, map(list, zip(*_ROWS, strict=True)), strict=True))), path)
    elif name == "i.jsonl":
        _write(path, "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in _ROWS))
    else:
        _write(path, _CSV)
    events, skipped = read_interactions(path)
    assert (events.users, events.items) == (["u1", "u2"], ["a", "b"])
    assert events.at.tolist() == [1700000000000, 1700000001000]
    assert np.allclose(events.weight, [1.0, 0.2])
    assert skipped.total == 0


def test_numeric_ids_become_text_also_from_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": [17850.0], "item_id": [5], "timestamp": [1.7e9]}), tmp_path / "i.parquet")
    events, _ = read_interactions(tmp_path / "i.parquet")
    assert (events.users, events.items, events.at.tolist()) == (["17850"], ["5"], [1700000000000])


def test_parquet_time_stamps_are_understood_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    stamps = pa.array([1700000000_000000] * 30 + [None], pa.timestamp("us"))
    table = pa.table({"user_id": ["u"] * 31, "item_id": ["a"] * 31, "timestamp": stamps})
    pq.write_table(table, tmp_path / "i.parquet")
    events, skipped = read_interactions(tmp_path / "i.parquet")
    assert (len(events), skipped.total) == (30, 1)
    assert events.at[0] == 1700000000000


@pytest.mark.parametrize(
    "stamp", [1700000000, "1700000000", 1700000000000, 1700000000.0, "2023-11-14T22:13:20Z", "2023-11-14 22:13:20"]
)
def test_seconds_milliseconds_and_iso_times_mean_the_same_moment(stamp: float | str) -> None:
    assert epoch_ms(stamp) == 1700000000000


@pytest.mark.parametrize("stamp", ["yesterday", -1, 0, "nan", float("inf"), 1.7e18])
def test_what_is_no_time_is_refused(stamp: float | str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reader turns it into a message of its own
        epoch_ms(stamp)


def test_a_purchase_counts_more_than_a_cart_a_click_and_a_view_and_a_rating_by_its_value() -> None:
    order = [weight_of(event, None) for event in ("purchase", "cart", "click", "view")]
    assert order == sorted(order, reverse=True)
    assert weight_of("rating", 5) > weight_of("rating", 2) > 0


def test_a_few_bad_rows_are_left_out_and_counted_with_their_place(tmp_path: Path) -> None:
    good = [f"g{number},Title {number},1.5" for number in range(100)]
    bad = ["g1,Twice,1", "x,,1", ",No id,1", "y,Dear,lots"]
    path = _write(tmp_path / "c.csv", "\n".join(["item_id,title,price", *good, *bad]))
    catalogue, skipped = read_catalogue(path)
    assert len(catalogue) == 100
    assert skipped.counts == {
        "item_id seen before": 1,
        "no title": 1,
        "no item_id": 1,
        "column price: expected `float | null`, got `str`": 1,
    }
    assert skipped.first["column price: expected `float | null`, got `str`"] == "line 105, value 'lots'"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", b"id,name\n1,a\n", "no column item_id, title"),
        ("c.csv", b"", "no column item_id"),
        ("c.csv", b"item_id,title\n", "holds no products"),
        ("c.csv", b"item_id,title\n1,\xff\n", "not UTF-8"),
        ("c.jsonl", b'[{"item_id": 1}]', "not one array"),
        ("c.jsonl", b'{"item_id": "1"\n', 'line 1, value \'{"item_id": "1"\': not JSON'),
        ("c.jsonl", b'{"item_id": "1", "title": ["x"]}\n', "column title: expected `str`, got `array`"),
        ("c.jsonl.gz", b"no gzip", "cannot be read"),
        ("c.jsonl.gz", gzip.compress(b'{"item_id": "1", "title": "x"}\n', mtime=0)[:-9], "cannot be read"),
        ("c.xlsx", b"PK", "cannot tell the format"),
    ],
)
def test_a_file_that_is_no_catalogue_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as problem:
        read_catalogue(path)
    assert message in str(problem.value)
    assert name in str(problem.value)


def test_interactions_whose_times_cannot_be_read_name_line_column_and_value(tmp_path: Path) -> None:
    path = _write(tmp_path / "i.csv", "user_id,item_id,timestamp\nu,a,soon\n")
    with pytest.raises(DataError, match=r"line 2, value 'soon'.*column timestamp.*neither epoch ms"):
        read_interactions(path)


@pytest.mark.parametrize("content", [b"PAR1", b"", b"\0" * 100])
def test_a_broken_parquet_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "i.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="Parquet"):
        read_interactions(path)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_data_error_or_rows_never_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("random")
    for name in ("c.csv", "c.jsonl"):
        (folder / name).write_bytes(b"item_id,title\n" * name.endswith("csv") + content)
        try:
            read_catalogue(folder / name)
        except DataError as problem:
            if name not in str(problem):
                raise


def test_the_sample_serves_until_the_user_brings_a_catalogue(empty_home: Path, tmp_path: Path) -> None:
    events = shop.load_interactions()
    assert len(shop.load_catalogue()) == 3747
    assert events is not None
    assert len(events) == 396261
    done = shop.import_catalogue(_write(tmp_path / "mine.csv", "item_id,title\na,Lamp\n"))
    assert (done.rows, done.skipped) == (1, ())
    assert shop.load_catalogue().titles == ["Lamp"]
    assert shop.load_interactions() is None, "the sample's purchases are not about the user's products"
    shop.import_interactions(_write(tmp_path / "mine.csv", _CSV))
    mine = shop.load_interactions()
    assert mine is not None
    assert len(mine) == 2


def test_a_later_load_replaces_the_one_before_also_in_another_format(empty_home: Path, tmp_path: Path) -> None:
    shop.import_catalogue(_write(tmp_path / "one.csv", "item_id,title\na,Lamp\n"))
    shop.import_catalogue(_write(tmp_path / "two.jsonl.gz", '{"item_id": "b", "title": "Cup"}\n'))
    assert shop.load_catalogue().titles == ["Cup"]
    with pytest.raises(DataError):
        shop.import_catalogue(_write(tmp_path / "three.csv", "nothing\n"))
    assert shop.load_catalogue().titles == ["Cup"], "a bad file must not replace a good one"
    with pytest.raises(DataError, match="not a file"):
        shop.import_catalogue(tmp_path / "absent.csv")
