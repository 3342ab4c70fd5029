"""`standfast bench startup`: from the command to the first answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, settings_from, stderr, stdout

if TYPE_CHECKING:
    from bench.beside.results import Spread


def startup_command(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How many starts.")] = 5,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Time from `standfast up` to the first answers, in fresh state folders that hold the trained models.

    Starts and stops systems of its own; one that runs is left alone.

    Example: standfast bench startup --rounds 3
    """
    import msgspec

    from bench.beside.results import spread
    from bench.figures import machine
    from bench.startup import startups

    progress = stderr()
    rows = startups(settings_from(config), rounds, lambda line: progress.print(line, markup=False))
    reached = {what: spread((row[what] for row in rows if what in row), 2) for what in rows[-1]}
    if as_json:
        typer.echo(msgspec.json.encode({"machine": machine(), "seconds": reached, "rounds": rows}))
    else:
        _print(reached, rounds)


def _print(reached: dict[str, Spread], rounds: int) -> None:
    from rich.table import Table

    from bench.figures import machine

    table = Table(box=None, pad_edge=False)
    for heading in ("seconds after the command", "least", "median", "most"):
        table.add_column(heading, justify="left" if heading.startswith("seconds") else "right")
    for what, seconds in reached.items():
        table.add_row(what, *(f"{value:.2f}" for value in (seconds.min, seconds.median, seconds.max)))
    host = machine()
    stdout().print(table)
    stdout().print(f"{rounds} starts; {host.cores} cores, {host.processor}, Python {host.python}, load {host.load}")
