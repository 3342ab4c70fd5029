"""`standfast bench all`: every figure to reach, measured one after the other and compared with its threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from standfast.commands.options import AsJson, Config, settings_from, stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from bench.rows.outcome import Report, RowOutcome

_WIDEST = 180


def all_command(
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="NAMES", help="These rows alone, separated by commas; a wrong name lists them."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few kills, requests and rounds, for a look.")] = False,
    against: Annotated[
        str,
        typer.Option(
            "--against", metavar="NAMES", help="Peers to measure beside it, such as litserve-usual; raw: none."
        ),
    ] = "raw",
    precision: Annotated[
        Literal["auto", "float32"] | None,
        typer.Option(
            "--precision",
            metavar="PRECISION",
            help="float32: as on a processor without bfloat16, for everyone that is measured.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Measure every figure to reach, in one run, and say which are reached; exit code 1 if one is not.

    Starts systems of its own, one after the other, and leaves nothing behind; one that runs is left alone, but takes
    processor time from what is measured. Takes three quarters of an hour, with --quick ten minutes. Of several rounds
    the median is judged, of strikes what the aim names.

    Example: standfast bench all --quick --only kill,one-search
    """
    import msgspec

    from bench.rows import chosen
    from bench.rows.run import measured

    rows, progress = chosen(only), stderr()

    def tell(line: str) -> None:
        progress.print(line, markup=False, soft_wrap=True)

    settings = settings_from(config)
    if precision is not None:
        settings = settings.for_all_services(precision=precision)
    report = measured(settings, rows, against, quick, tell)
    if as_json:
        typer.echo(msgspec.json.encode(report))
    else:
        _print(report, beside=against != "raw")
    if not all(row.reached for row in report.rows):
        raise typer.Exit(1)


def _print(report: Report, beside: bool) -> None:
    """Prints the table; with `beside` also what was measured of each peer."""
    from rich.console import Console

    from bench.beside.results import Comparison
    from bench.commands.against import show

    out = stdout()
    wide = Console(highlight=False, width=max(out.width, _WIDEST))  # a narrow terminal wraps it; figures stay whole
    wide.print(_table(report.rows))
    for row in report.rows:
        if row.reason:
            out.print(f"{row.name}: {row.reason}", markup=False, soft_wrap=True)
    for row in report.rows:
        if beside and isinstance(row.detail, Comparison):
            show(row.detail)
    machine = report.machine
    out.print(f"{machine.cores} cores, {machine.processor}, Python {machine.python}, load {machine.load}", markup=False)
    for when, speed in zip(("before", "after"), report.reference, strict=False):
        out.print(f"{when} the rows: {speed}", markup=False, soft_wrap=True)
    for what, how in report.settings.items():
        out.print(f"{what}: {how}", markup=False, soft_wrap=True)


def _table(rows: list[RowOutcome]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("row", no_wrap=True)
    for heading, width in (("what", 40), ("measured", 60), ("to reach", 36)):
        table.add_column(heading, max_width=width)
    for heading in ("reached", "others", "seconds"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        words = [row.name, row.what, row.measured, row.to_reach, "yes" if row.reached else "no"]
        table.add_row(*map(escape, words), f"{row.others:.2f}", f"{row.seconds:,.0f}")
    return table
