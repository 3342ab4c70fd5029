"""What pages and drawings share: the templates, the stylesheet and the table behind a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FOLDER = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Table:
    """The figures behind a drawing.

    Args:
        columns: their names.
        rows: as many texts each.
        numbers: the columns (from 0) that hold numbers, which are set flush right.
        note: what is not in it, such as "the first 200 of 1,000".
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    note: str = ""


def environment(*folders: Path) -> Environment:
    """A Jinja environment that escapes everything, refuses unknown names, and finds the drawings' templates too."""
    return Environment(
        loader=FileSystemLoader([*folders, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def stylesheet() -> Markup:
    """The colours and shapes of every page and drawing, light, dark and for print; CSS, for one `style` element."""
    return Markup((_FOLDER / "drawing.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours


def table_of(table: Table, summary: str = "as a table") -> Markup:
    """The table in a `details` element that is closed until it is asked for."""
    return drawn("table.html", table=table, summary=summary)


def drawn(template: str, **values: object) -> Markup:
    """One of the drawings' templates, filled in."""
    return Markup(_templates().get_template(template).render(**values))  # noqa: S704 - the template escapes


@cache
def _templates() -> Environment:
    return environment()
