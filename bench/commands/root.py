"""`standfast bench`: figures of the running system, measured through its topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.against import Against, ComparisonOptions, Device, Mix, Rounds, print_comparison
from bench.commands.all_rows import all_command
from bench.commands.failover import failover_command
from bench.commands.overload import overload_command
from bench.commands.soak import soak_command
from bench.commands.startup import startup_command
from standfast.commands.options import AsJson, Config, settings_from, stdout

if TYPE_CHECKING:
    from bench.figures import LatencyFigures
    from standfast.core.settings import Settings

app = typer.Typer(no_args_is_help=True)
app.command("all")(all_command)
app.command("failover")(failover_command)
app.command("overload")(overload_command)
app.command("soak")(soak_command)
app.command("startup")(startup_command)
Services = Annotated[str, typer.Option("--services", help="Which services, separated by commas.")]
Requests = Annotated[
    int | None, typer.Option("--requests", min=10, help="Requests per figure; else what suits it.", show_default=False)
]


@app.callback()
def bench() -> None:
    """Measure the running system, or systems of its own beside others.

    Example: standfast bench latency
    """


@app.command("latency")
def latency_command(  # noqa: PLR0913, PLR0917 - its options
    services: Services = "search,recommend",
    requests: Requests = None,
    in_flight: Annotated[str, typer.Option("--in-flight", help="Requests in flight, separated by commas.")] = "1,64",
    against: Against = None,
    rounds: Rounds = 3,
    mix: Mix = "uniform",
    device: Device = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Time from sending a request to reading its committed answer.

    Measures the running system; with --against, systems of its own side by side.

    Example: standfast bench latency --in-flight 1,8,64
    """
    levels = _levels(in_flight)
    if against is None and mix == "uniform":
        _report_latency(_running(config), services.split(","), levels, requests or 500, as_json)
    else:
        options = ComparisonOptions(services, levels, requests, against or "raw", rounds, mix, device)
        print_comparison(settings_from(config), options, as_json)


@app.command("throughput")
def throughput_command(  # noqa: PLR0913, PLR0917 - its options
    services: Services = "search,recommend",
    requests: Requests = None,
    against: Against = None,
    rounds: Rounds = 3,
    mix: Mix = "uniform",
    device: Device = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Answers a second with more requests in flight than a worker can batch.

    Measures the running system; with --against, systems of its own side by side.

    Example: standfast bench throughput --services search --against plain,litserve
    """
    if against is None and mix == "uniform":
        _report_latency(_running(config), services.split(","), [512], requests or 5000, as_json)
    else:
        options = ComparisonOptions(services, None, requests, against or "raw", rounds, mix, device)
        print_comparison(settings_from(config), options, as_json)


def _levels(text: str) -> list[int]:
    from standfast.core.errors import UsageError

    levels = [int(level) if level.strip().isdecimal() else 0 for level in text.split(",")]
    if not all(levels):
        raise UsageError(f"--in-flight {text}: give whole numbers from 1, separated by commas")
    return levels


def _report_latency(settings: Settings, services: list[str], levels: list[int], requests: int, as_json: bool) -> None:
    from bench.latency import latency
    from consumers.service import service

    figures = [
        latency(settings, name, level, requests, service(name, settings).workers)
        for name in services
        for level in levels
    ]
    rows: list[tuple[str, ...]] = [
        ("service", "in flight", "p50 ms", "p99 ms", "max ms", "answers/s", "not ok", "doubled")
    ]
    rows += [_latency_row(latency_figures) for latency_figures in figures]
    _print(figures, as_json, rows)


def _running(config: object) -> Settings:
    """The settings, pointed at the system that runs on this state folder."""
    from pathlib import Path

    from standfast.core import status
    from standfast.core.errors import ClusterError

    settings = settings_from(config if isinstance(config, Path) else None)
    running = status.read()
    if running is None:
        raise ClusterError("no system runs on this state folder; start one: standfast up --detach")
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": running.bootstrap_servers})
    return settings.model_copy(update={"kafka": kafka})


def _latency_row(latency: LatencyFigures) -> tuple[str, ...]:
    figures = (
        latency.in_flight,
        latency.p50_ms,
        latency.p99_ms,
        latency.max_ms,
        latency.per_second,
        latency.not_ok,
        latency.doubled,
    )
    return (latency.service, *(f"{figure:,}" for figure in figures))


def _print(latencies: list[LatencyFigures], as_json: bool, rows: list[tuple[str, ...]]) -> None:
    import msgspec
    from rich.table import Table

    from bench.figures import machine

    host = machine()
    if as_json:
        typer.echo(msgspec.json.encode({"machine": host, "figures": latencies}))
        return
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    stdout().print(table)
    stdout().print(f"{host.cores} cores, {host.processor}, Python {host.python}, load {host.load}")
