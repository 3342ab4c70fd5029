"""A comparison of two runs for terminals."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from drills.reports.comparison import Outcome, RunComparison
from drills.reports.report import number

_COLOURS: dict[Outcome, str] = {"no worse": "green", "worse": "red", "unknown": "yellow"}


def comparison_table(found: RunComparison) -> Group:
    """The outcome, and a row for each figure."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("figure", "outcome"):
        table.add_column(name, no_wrap=True)
    for name in ("first", "second"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for figure in found.figures:
        outcome = Text(figure.outcome, _COLOURS[figure.outcome])
        table.add_row(figure.figure, outcome, number(figure.first), number(figure.second), Text(figure.reason))
    verdict = Text(f" {found.outcome.upper()} ", f"bold reverse {_COLOURS[found.outcome]}")
    return Group(verdict, table)
