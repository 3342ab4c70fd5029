"""An answer as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

    from schemas.records import Result


def table_of(result: Result) -> Group:
    """The answer's products, best first, then a line with the model, the worker and the latency."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("item")
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right")
    for rank, item in enumerate(result.items, 1):
        table.add_row(str(rank), escape(item.item_id), escape(item.title), f"{item.score:.3f}")
    degraded = "  degraded" if result.degraded else ""
    source = f"{result.model}  worker {result.worker}  {result.latency_ms:.1f} ms{degraded}"
    return Group(table if result.items else "No products.", f"[dim]{escape(source)}[/]")
