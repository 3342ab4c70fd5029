"""`standfast bench latency|throughput --against …`: a comparison of the raw limit, Standfast and its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from bench.beside.results import Comparison, Spread, Summary
    from standfast.core.settings import Settings

Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="NAMES",
        help="Start systems of its own and compare the raw limit, Standfast and these: litserve, litserve-usual, ray, "
        "faststream, plain, plain-eos, bare, separated by commas; all; or raw for no peer.",
    ),
]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Rounds of a comparison.")]
Mix = Annotated[str, typer.Option("--mix", help="uniform, or long: compare with 10 % of the searches 9 times longer.")]
Device = Annotated[
    str | None, typer.Option("--device", help="Where a comparison computes: cpu, cuda or cuda:<number>.")
]


_WIDEST = 300


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """The options of a comparison. `levels` None: more requests in flight than a worker can batch."""

    services: str
    levels: Sequence[int] | None
    requests: int | None
    against: str
    rounds: int
    mix: str
    device: str | None


def print_comparison(settings: Settings, options: ComparisonOptions, as_json: bool) -> None:
    """Runs a comparison, with progress on stderr, and prints its report; raises UsageError or SetupError.

    Exits with code 1 if a contender could not be measured in some round.
    """
    import msgspec

    from bench.beside.run import comparison_plan, run_comparison

    levels = _levels(options.services, options.levels)
    plan = comparison_plan(options.against, levels, options.requests, options.rounds, options.mix)
    progress = stderr()
    comparison = run_comparison(_on(settings, options.device), plan, lambda line: progress.print(line, markup=False))
    if as_json:
        typer.echo(msgspec.json.encode(comparison))
    else:
        _print(comparison)
    if comparison.failures:
        raise typer.Exit(1)


def _levels(names: str, levels: Sequence[int] | None) -> dict[str, Sequence[int]]:
    from standfast.core.errors import UsageError
    from standfast.core.services import NAMES

    most: dict[str, Sequence[int]] = {"search": [64], "recommend": [512]}
    wrong = [name for name in names.split(",") if name not in NAMES]
    if wrong:
        raise UsageError(f"--services {','.join(wrong)}: there are {', '.join(NAMES)}")
    return {name: levels or most[name] for name in NAMES if name in names.split(",")}


def _on(settings: Settings, device: str | None) -> Settings:
    if device is None:
        return settings
    return settings.for_all_services(device=device)


def show(comparison: Comparison) -> None:
    """Prints a table for each load, with a line for each contender."""
    from rich.console import Console

    out = stdout()
    wide = Console(highlight=False, width=max(out.width, _WIDEST))  # a narrow terminal wraps it; figures stay whole
    for service, load in dict.fromkeys((summary.service, summary.load) for summary in comparison.summary):
        rows = [summary for summary in comparison.summary if (summary.service, summary.load) == (service, load)]
        out.print(f"[bold]{service}, {load}[/]  median (least-most) of the rounds")
        wide.print(_table(rows), "", sep="\n")


def _print(comparison: Comparison) -> None:
    from rich.markup import escape

    out = stdout()
    show(comparison)
    machine = comparison.machine
    out.print(f"{machine.cores} cores, {machine.processor}, Python {machine.python}, load {machine.load}", markup=False)
    for failure in comparison.failures:
        out.print(f"[bold]not measured:[/] {escape(failure)}", soft_wrap=True)
    for what, how in comparison.settings.items():
        out.print(f"{what}: {how}", markup=False, soft_wrap=True)


def _table(rows: Sequence[Summary]) -> Table:
    """A table with a line for each contender; columns without any figure are left out."""
    from rich.table import Table

    columns = {
        "answers/s": [_cell(row.per_second, 0) for row in rows],
        "of raw": [_cell(row.of_raw, 2) for row in rows],
        "of sorted": [_cell(row.of_sorted, 2) for row in rows],
        "of bare": [_cell(row.of_bare if row.in_flight > 1 else None, 2) for row in rows],
        "p50 ms": [_cell(row.p50_ms, 1) for row in rows],
        "p99 ms": [_cell(row.p99_ms, 1) for row in rows],
        "short p99": [_cell(row.short_p99_ms, 1) for row in rows],
        "of uniform": [_cell(row.short_times_uniform, 2) for row in rows],
        "p50 of raw": [_cell(row.times_raw if row.in_flight == 1 else None, 2) for row in rows],
        "beyond raw": [_cell(row.beyond_ms if row.in_flight == 1 else None, 1) for row in rows],
        "its p99": [_cell(row.beyond_p99_ms if row.in_flight == 1 else None, 1) for row in rows],
        "beyond bare": [_cell(row.beyond_bare_ms if row.in_flight == 1 else None, 1) for row in rows],
        "start s": [_cell(row.start_s if row.start_s.max else None, 1) for row in rows],
        "MB": [_cell(row.memory_mb if row.memory_mb.max else None, 0) for row in rows],
        "others": [_cell(row.others, 2) for row in rows],
        "wrong": [str(row.not_ok + row.doubled) for row in rows],
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    shown = [cells for cells in columns.values() if any(cells)]
    for heading, cells in columns.items():
        if any(cells):
            table.add_column(heading, justify="right", no_wrap=True)
    for number, summary in enumerate(rows):
        table.add_row(summary.contender, *(cells[number] for cells in shown))
    return table


def _cell(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    least, middle, most = (f"{value:,.{digits}f}" for value in (spread.min, spread.median, spread.max))
    return middle if least == most else f"{middle} ({least}-{most})"
