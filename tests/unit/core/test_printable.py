"""No control sequence in foreign text reaches a terminal, whatever prints the text."""

from __future__ import annotations

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from drills.reports.report import overview, phase_line, stories, verdict_table
from schemas.records import Because, DrillEvent, Facet, FacetValue, Item, Result, Why
from standfast.answer_table import table_of
from standfast.commands.terminal import SafeConsole
from standfast.core import logs
from standfast.core.printable import escaped_json, one_line, printable
from standfast.core.settings import LogSettings

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eabc\x7f\r\x00\u2028"
OBEYED = [
    *map(chr, [*range(9), *range(11, 32), *range(127, 160)]),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069",
]


def printed(renderable: object) -> str:
    out = io.StringIO()
    SafeConsole(file=out, force_terminal=False, width=200).print(renderable)
    return out.getvalue()


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left_and_the_rest_is_as_it_was(text: str) -> None:
    shown = printable(text)
    assert not set(shown) & set(OBEYED)
    assert len(shown) == len(text)
    assert "\n" not in one_line(text)
    assert all(now == was or was in OBEYED for now, was in zip(shown, text, strict=True))


@pytest.mark.parametrize("plain", ["Größe 85123A", "白いハート", "שלום", "a\tb\nc", "👩‍👩‍👧"])
def test_text_in_any_language_stays(plain: str) -> None:
    assert printable(plain) == plain


@given(st.dictionaries(st.text(), st.text()))
def test_json_means_the_same_and_a_terminal_obeys_nothing_in_it(value: dict[str, str]) -> None:
    shown = escaped_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not set(shown) & set(OBEYED)


def test_what_a_drill_or_an_answer_shows_is_not_obeyed() -> None:
    event = DrillEvent(
        drill_id=EVIL, drill=EVIL, phase="rejected", at=1, reason=f"{EVIL}\npassed: forged", requested_by=EVIL,
        target={EVIL: EVIL}, verdict="rejected", findings=[f"passed: {EVIL}\nforged"],
    )  # fmt: skip
    items = [Item(EVIL, 1.0, f"{EVIL}[bold]", Why([EVIL], because=[Because(EVIL, EVIL, 1)]))]
    facets = {EVIL: Facet(count=1, values=[FacetValue(EVIL, 1)])}
    result = Result(
        request_id="r", status="ok", items=items, model=EVIL, worker=EVIL, error=EVIL, facets=facets
    )  # fmt: skip
    for shown in (overview(stories([event])), verdict_table(event), phase_line(event), table_of(result)):
        assert not set(printed(shown)) & set(OBEYED)
    lines = [line.strip() for line in printed(verdict_table(event)).splitlines()]
    assert not any(line.startswith(("passed: forged", "forged")) for line in lines)


def test_a_pretty_log_line_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(format="pretty"), "test")
    try:
        structlog.get_logger().warning("quoted", drill=EVIL, more=[EVIL])
        shown = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
    for sequence in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"):
        assert sequence not in shown
