"""A damaged table: skipped rows are reported with their line, and damage never spreads to other rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.data.catalogue import read_catalogue
from models.data.interactions import read_interactions
from standfast.core.errors import DataError

_GOOD = [f"p{number},title {number},c" for number in range(100)]


def _catalogue(path: Path, rows: list[str], heading: str = "item_id,title,category") -> Path:
    path.write_text("\n".join([heading, *rows]) + "\n")
    return path


@pytest.mark.parametrize("later", ["p80,title 80,c", 'p80,"title, 80",c', 'p80,"ti""tle",c', 'p80,"title\n80",c'])
def test_a_quote_that_never_closes_costs_its_own_row_alone(tmp_path: Path, later: str) -> None:
    rows = [*_GOOD[:22], 'p22,"title 22,c', *_GOOD[23:80], later, *_GOOD[81:]]
    catalogue, skipped = read_catalogue(_catalogue(tmp_path / "c.csv", rows))
    assert catalogue.item_ids == [f"p{number}" for number in range(100) if number != 22]
    assert len(skipped.lines()) == 1
    assert "never closed" in skipped.lines()[0]
    assert "line 24, value 'p22,\"title 22,c'" in skipped.lines()[0]


def test_the_place_of_what_comes_after_such_a_row_is_still_right(tmp_path: Path) -> None:
    rows = [*_GOOD[:5], 'p5,"a', *_GOOD[6:50], "p50,,c", *_GOOD[51:]]
    _, skipped = read_catalogue(_catalogue(tmp_path / "c.csv", rows))
    assert skipped.first["no title"].startswith("line 52")


def test_many_rows_with_open_quotes_are_found_in_time_that_grows_with_the_rows(tmp_path: Path) -> None:
    path = _catalogue(tmp_path / "c.csv", ['p,"x,c'] * 3_000)
    with pytest.raises(DataError, match=r"line 2.*never closed.*3,000 of 3,000"):
        read_catalogue(path)


def test_a_cell_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    rows = ['a,"one\ntwo, three\n""four""",c', "b,x,c"]
    catalogue, skipped = read_catalogue(_catalogue(tmp_path / "c.csv", rows))
    assert catalogue.titles == ['one two, three "four"', "x"]
    assert skipped.total == 0


def test_text_after_a_closing_quote_is_said(tmp_path: Path) -> None:
    _, skipped = read_catalogue(_catalogue(tmp_path / "c.csv", [*_GOOD, 'x,"7" vinyl,c']))
    assert [line.split(" (first")[0] for line in skipped.lines()] == [
        '1 skipped: text after a closing quote; write a quote inside a cell twice ("")'
    ]


def test_events_behind_an_open_quote_are_read(tmp_path: Path) -> None:
    rows = [f"u{number % 9},p,{1700000000 + number},view" for number in range(100)]
    rows[31] = '"' + rows[31]
    path = _catalogue(tmp_path / "i.csv", rows, "user_id,item_id,timestamp,event")
    events, skipped = read_interactions(path)
    assert (len(events), skipped.total) == (99, 1)


def test_a_row_with_more_cells_than_the_heading_is_left_out_with_the_remedy(tmp_path: Path) -> None:
    path = _catalogue(tmp_path / "c.csv", [*_GOOD, "x,red scarf, wool,c", "y,fine,c,,"])
    catalogue, skipped = read_catalogue(path)
    assert catalogue.item_ids[-1] == "y", "surplus empty cells lose nothing"
    assert skipped.lines() == [
        "1 skipped: more cells than the heading; quote a cell that holds ',' (first: line 102, value 'c')"
    ]
    with pytest.raises(DataError, match=r"line 2.*more cells than the heading"):
        read_catalogue(_catalogue(path, ["x,red scarf, wool,c"] * 30))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_line_break_in_a_heading_is_part_of_its_name(tmp_path: Path, delimiter: str, line_end: str) -> None:
    lines = ['item_id,title,"price\nin EUR"', "a,red scarf,9.99", "b,oak board,7"]
    path = tmp_path / "c.csv"
    path.write_text("\n".join(lines).replace("\n", line_end).replace(",", delimiter), newline="")
    catalogue, skipped = read_catalogue(path)
    assert (catalogue.item_ids, skipped.total) == (["a", "b"], 0)


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ('item_id,"title\n(en)"', r"found: item_id, title \(en\)"),
        ('item_id,"title', "line 1: .*never closed.*heading"),
        ("item_id,title,title", "two columns are called title"),
    ],
)
def test_a_heading_that_cannot_be_used_is_one_error(tmp_path: Path, heading: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_catalogue(_catalogue(tmp_path / "c.csv", ["a,b,c"] * 2_000, heading))


def test_empty_lines_above_the_heading_and_spaces_before_a_quote_are_read_past(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('\n\nitem_id, title\na, "red scarf, wool"\n')
    assert read_catalogue(path)[0].titles == ["red scarf, wool"]
