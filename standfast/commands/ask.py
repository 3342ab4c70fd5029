"""`standfast search` and `standfast recommend`: one request through the topics, its answer printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.answer_table import table_of
from standfast.commands.options import AsJson, Config, finite, print_json, settings_from, stderr, stdout

if TYPE_CHECKING:
    from schemas.records import RecommendRequest, SearchRequest

search_app = typer.Typer()
recommend_app = typer.Typer()
Count = Annotated[int, typer.Option("-k", help="How many products.")]
Filtered = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="NAME=VALUE",
        help="Only products with this attribute: NAME=VALUE (several: one of them), or NAME=5..20, NAME=..20.",
        show_default=False,
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Say why each product is there.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.1, callback=finite)]


@search_app.command("search")
def search(  # noqa: PLR0913, PLR0917 - its options
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What to look for.", show_default=False)],
    k: Count = 10,
    filters: Filtered = None,
    facets: Annotated[
        list[str] | None,
        typer.Option("--facets", metavar="NAME", help="Count the values of this attribute.", show_default=False),
    ] = None,
    explain: Explain = False,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
    config: Config = None,
) -> None:
    """Search the shop's products.

    Example: standfast search white hanging heart -k 5 --filter price=..3 --facets price --explain
    """
    from schemas.records import SearchRequest
    from standfast.commands.filter_words import filters_of

    request = SearchRequest(
        query=" ".join(text), k=k, filters=filters_of(filters or []), facets=facets or [], explain=explain
    )
    _ask(request, as_json, timeout, config)


@recommend_app.command("recommend")
def recommend(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)],
    k: Count = 10,
    filters: Filtered = None,
    explain: Explain = False,
    as_json: AsJson = False,
    timeout: Timeout = 10.0,
    config: Config = None,
) -> None:
    """Products this user may want next; an unknown user gets the most popular ones.

    Example: standfast recommend 17850 -k 5 --filter price=1..3 --explain
    """
    from schemas.records import RecommendRequest
    from standfast.commands.filter_words import filters_of

    request = RecommendRequest(user_id=user, k=k, filters=filters_of(filters or []), explain=explain)
    _ask(request, as_json, timeout, config)


def _ask(request: SearchRequest | RecommendRequest, as_json: bool, timeout: float, config: Path | None) -> None:
    from standfast.caller import Caller

    with Caller(settings_from(config)) as caller:
        result = caller.ask(request, timeout)
    if as_json:
        print_json(result)
    elif result.status == "ok":
        stdout().print(table_of(result))
    if result.status != "ok":
        stderr().print(f"error: {result.status}: {result.error or 'no reason given'}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
