"""Filters as they are typed on the command line, and answers with facets and reasons as it prints them."""

from __future__ import annotations

import pytest
from rich.console import Console

from schemas.records import Because, Facet, FacetRange, FacetValue, Filters, Item, Range, Result, Why
from standfast.answer_table import table_of
from standfast.commands.filter_words import filters_of
from standfast.core.errors import UsageError


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        ([], {}),
        (["price=5..20"], {"price": Range(5, 20)}),
        (["price=5.."], {"price": Range(5, None)}),
        (["price=..-2.5"], {"price": Range(None, -2.5)}),
        (["price=0.5...75"], {"price": Range(0.5, 0.75)}),
        (
            ["category=Lamps", "category=Home = Garden", "size=5"],
            {"category": ["Lamps", "Home = Garden"], "size": ["5"]},
        ),
        (["a=b..c"], {"a": ["b..c"]}),
        (["a=.."], {"a": [".."]}),
    ],
)
def test_filters_are_read_as_typed(words: list[str], filters: Filters) -> None:
    assert filters_of(words) == filters


@pytest.mark.parametrize("words", [["price"], ["=5"], ["price="], ["price=1..2", "price=3..4"], ["a=1..2", "a=x"]])
def test_what_is_no_filter_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--filter"):
        filters_of(words)


def test_facets_and_reasons_are_printed_so_that_people_can_read_them() -> None:
    items = [
        Item("a", 2.0, "Red lamp", Why(["Red"], exact="title")),
        Item("b", 0.7, "Blue lamp", Why(["lamp"], 0.4, 0.3)),
        Item("c", 0.1, "Hat", Why(because=[Because("x", "Scarf", 0.05)])),
        Item("d", 0.1, "Coat"),
    ]
    facets = {
        "category": Facet(count=1200, values=[FacetValue("[bold]Lamps", 1000)], more=7),
        "price": Facet(count=3, ranges=[FacetRange(0.5, 2.0, 3)]),
    }
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table_of(Result(request_id="r", status="ok", items=items, facets=facets)))
    shown = captured.get()
    for part in (
        "has Red; its title is what was typed",
        "has lamp; words 0.400, meaning 0.300",
        "because of Scarf (0.050)",
        "category, of 1,200 that match",
        "[bold]Lamps",
        "and 7 more values",
        "0.5..2",
    ):
        assert part in shown
