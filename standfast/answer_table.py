"""An answer as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

    from schemas.records import Facet, Result, Why


def table_of(result: Result) -> Group:
    """The answer's products, best first, the counts of its facets, then a line with model, worker and latency."""
    from msgspec import UNSET
    from rich.console import Group
    from rich.markup import escape

    degraded = "  degraded" if result.degraded else ""
    source = f"{result.model}  worker {result.worker}  {result.latency_ms:.1f} ms{degraded}"
    facets = [] if result.facets is UNSET else [_facet(name, facet) for name, facet in result.facets.items()]
    products: RenderableType = _products(result) if result.items else "No products."
    return Group(products, *facets, f"[dim]{escape(source)}[/]")


def _products(result: Result) -> Table:
    from rich.markup import escape

    table = _table(("#", "right"), ("item", "left"), ("title", "left"), ("score", "right"))
    is_explained = any(item.why is not None for item in result.items)
    if is_explained:
        table.add_column("why", overflow="fold")
    for rank, item in enumerate(result.items, 1):
        why = [escape(_why(item.why))] if is_explained else []
        table.add_row(str(rank), escape(item.item_id), escape(item.title), f"{item.score:.3f}", *why)
    return table


def _why(why: Why | None) -> str:
    if why is None:
        return ""
    if why.because:
        return "because of " + ", ".join(f"{because.title} ({because.score:.3f})" for because in why.because)
    parts = [f"its {why.exact} is what was typed"] if why.exact else []
    if why.by_words is not None and why.by_meaning is not None:
        parts.append(f"words {why.by_words:.3f}, meaning {why.by_meaning:.3f}")
    return "; ".join([*([f"has {', '.join(why.words)}"] if why.words else []), *parts])


def _facet(name: str, facet: Facet) -> Table:
    from rich.markup import escape

    table = _table((escape(f"{name}, of {facet.count:,} that match"), "left"), ("products", "right"))
    for value in facet.values:
        table.add_row(escape(value.value), f"{value.count:,}")
    for numbers in facet.ranges:
        table.add_row(f"{numbers.min:g}..{numbers.max:g}", f"{numbers.count:,}")
    if facet.more:
        table.add_row(f"and {facet.more:,} more values", "")
    return table


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table
