"""The demo's promises, and whether each was kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from standfast.core.errors import StandfastError


@dataclass(frozen=True, slots=True)
class Promise:
    """One claim, whether it was kept, and what was observed."""

    claim: str
    kept: bool
    seen: str


def promises_of(claim: str, step: Callable[[], list[Promise]], console: Console) -> list[Promise]:
    """The promises a step returns; if it raises a StandfastError, one broken promise named `claim`."""
    try:
        return step()
    except StandfastError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        return [Promise(claim, kept=False, seen=str(error))]


def table(promises: list[Promise]) -> Table:
    """One row for each promise."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    for promise in promises:
        mark = "[green]kept[/]  " if promise.kept else "[bold red]BROKEN[/]"
        rows.add_row(mark, promise.claim, escape(promise.seen))
    return rows
