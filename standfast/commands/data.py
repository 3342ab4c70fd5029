"""`standfast catalogue`, `interactions` and `judgements load`: a user's own shop instead of the sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

if TYPE_CHECKING:
    from models.data.shop import Imported

catalogue = typer.Typer(no_args_is_help=True, help="Load your own products.")
interactions = typer.Typer(no_args_is_help=True, help="Load your own views and purchases.")
judgements = typer.Typer(no_args_is_help=True, help="Load which products are wanted for which queries.")
File = Annotated[Path, typer.Argument(metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@catalogue.callback()
def _catalogue() -> None:
    """Products that search and recommendation answer with."""


@interactions.callback()
def _interactions() -> None:
    """What customers did, which recommendation is trained from."""


@judgements.callback()
def _judgements() -> None:
    """What search learns its weights from, and is measured by."""


@catalogue.command("load")
def load_catalogue(file: File, as_json: AsJson = False) -> None:
    """Use a catalogue: JSON lines or CSV (also .gz) with item_id, title, and description, category, price, image.

    Example: standfast catalogue load products.csv
    """
    from models.data.shop import import_catalogue

    _report(import_catalogue(file), "products", as_json=as_json)


@interactions.command("load")
def load_interactions(file: File, as_json: AsJson = False) -> None:
    """Use interactions: CSV, JSON lines or Parquet with user_id, item_id, timestamp, and event, value.

    Example: standfast interactions load events.parquet
    """
    from models.data.shop import import_interactions

    _report(import_interactions(file), "interactions", as_json=as_json)


@judgements.command("load")
def load_judgements(
    qrels: Annotated[Path, typer.Argument(metavar="QRELS")],
    queries: Annotated[Path, typer.Argument(metavar="QUERIES")],
    as_json: AsJson = False,
) -> None:
    """Use judgements: TREC qrels, `query_id 0 item_id grade`, and the queries, `query_id<TAB>query`.

    Example: standfast judgements load qrels.txt queries.tsv
    """
    from models.data.shop import import_judgements

    _report(import_judgements(qrels, queries), "judgements", about="of them", as_json=as_json)


def _report(imported: Imported, what: str, *, about: str = "interactions", as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(imported).decode())
    else:
        typer.echo(f"{imported.rows:,} {what} loaded from {imported.file}")
        for line in imported.skipped:
            typer.echo(line)
        if imported.matched is not None:
            typer.echo(f"{imported.matched:,} {about} are about products of the catalogue in use")
    if imported.hint:
        typer.echo(imported.hint, err=True)
    typer.echo("now run `standfast models train`", err=True)
