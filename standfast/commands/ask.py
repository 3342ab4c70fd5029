"""`standfast search` and `standfast recommend`: one request through the topics, its answer printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, finite, print_json, settings_from, stderr, stdout

if TYPE_CHECKING:
    from rich.console import Group

    from schemas.records import RecommendRequest, Result, SearchRequest

search_app = typer.Typer()
recommend_app = typer.Typer()
Count = Annotated[int, typer.Option("-k", help="How many products.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.1, callback=finite)]


@search_app.command("search")
def search(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What to look for.", show_default=False)],
    k: Count = 10,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
    config: Config = None,
) -> None:
    """Search the shop's products.

    Example: standfast search white hanging heart -k 5
    """
    from schemas.records import SearchRequest

    _ask(SearchRequest(query=" ".join(text), k=k), as_json, timeout, config)


@recommend_app.command("recommend")
def recommend(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)],
    k: Count = 10,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
    config: Config = None,
) -> None:
    """Products this user may want next; an unknown user gets what is liked by most.

    Example: standfast recommend 17850 -k 5
    """
    from schemas.records import RecommendRequest

    _ask(RecommendRequest(user_id=user, k=k), as_json, timeout, config)


def _ask(request: SearchRequest | RecommendRequest, as_json: bool, timeout: float, config: Path | None) -> None:
    from standfast.caller import Caller

    with Caller(settings_from(config)) as caller:
        result = caller.ask(request, timeout)
    if as_json:
        print_json(result)
    elif result.status == "ok":
        stdout().print(answer(result))
    if result.status != "ok":
        stderr().print(f"error: {result.status}: {result.error or 'no reason given'}", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def answer(result: Result) -> Group:
    """An answer as a table of its products, and a line on who gave it."""
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
    by = f"{result.model}  worker {result.worker}  {result.latency_ms:.1f} ms{degraded}"
    return Group(table if result.items else "No products.", f"[dim]{escape(by)}[/]")
