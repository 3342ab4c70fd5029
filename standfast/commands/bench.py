"""`standfast bench`: figures of the running system, measured through its topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, settings_from, stdout

if TYPE_CHECKING:
    from bench.figures import Failover, Latency
    from standfast.settings import Settings

app = typer.Typer(no_args_is_help=True)
Services = Annotated[str, typer.Option("--services", help="Which services, separated by commas.")]


@app.callback()
def bench() -> None:
    """Measure the running system: failover, latency, throughput.

    Example: standfast bench latency
    """


@app.command("latency")
def latency_command(
    services: Services = "search,recommend",
    requests: Annotated[int, typer.Option("--requests", min=10, help="Requests per figure.")] = 500,
    in_flight: Annotated[str, typer.Option("--in-flight", help="Requests in flight, separated by commas.")] = "1,64",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Time from sending a request to reading its committed answer.

    Example: standfast bench latency --in-flight 1,8,64
    """
    levels = [int(one) for one in in_flight.split(",")]
    _report_latency(_running(config), services.split(","), levels, requests, as_json)


@app.command("throughput")
def throughput_command(
    services: Services = "search,recommend",
    requests: Annotated[int, typer.Option("--requests", min=10, help="Requests per service.")] = 5000,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Answers a second with more requests in flight than all workers can batch.

    Example: standfast bench throughput --services search
    """
    _report_latency(_running(config), services.split(","), [512], requests, as_json)


@app.command("failover")
def failover_command(
    services: Services = "search",
    kills: Annotated[int, typer.Option("--kills", min=1, help="How many workers to kill.")] = 10,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests a second meanwhile.")] = 50.0,
    pause: Annotated[float, typer.Option("--pause", min=0.1, help="Seconds between kills, about.")] = 2.0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Kill workers at random moments under load; exit code 1 if an answer was lost or doubled.

    Example: standfast bench failover --kills 40
    """
    from bench.failover import failover

    settings = _running(config)
    found = [failover(settings, name, kills, rate, pause) for name in services.split(",")]
    _print(found, as_json, _failover_rows(found))
    if any(one.lost or one.duplicated for one in found):
        raise typer.Exit(1)


def _report_latency(settings: Settings, services: list[str], levels: list[int], requests: int, as_json: bool) -> None:
    from bench.latency import latency
    from consumers.service import service

    found = [
        latency(settings, name, level, requests, service(name, settings).workers)
        for name in services
        for level in levels
    ]
    rows: list[tuple[str, ...]] = [
        ("service", "in flight", "p50 ms", "p99 ms", "max ms", "answers/s", "not ok", "doubled")
    ]
    rows += [_latency_row(one) for one in found]
    _print(found, as_json, rows)


def _running(config: object) -> Settings:
    """The settings, pointed at the system that runs on this state folder."""
    from pathlib import Path

    from standfast import status
    from standfast.errors import ClusterError

    settings = settings_from(config if isinstance(config, Path) else None)
    running = status.read()
    if running is None:
        raise ClusterError("no system runs on this state folder; start one: standfast up --detach")
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": running.bootstrap_servers})
    return settings.model_copy(update={"kafka": kafka})


def _latency_row(one: Latency) -> tuple[str, ...]:
    figures = (one.in_flight, one.p50_ms, one.p99_ms, one.max_ms, one.per_second, one.not_ok, one.doubled)
    return (one.service, *(f"{figure:,}" for figure in figures))


def _failover_rows(found: list[Failover]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("service", "kills", "RTO median ms", "worst ms", "requests", "lost", "doubled", "out of order")
    ]
    for one in found:
        figures = (one.kills, one.median_ms, one.worst_ms, one.requests, one.lost, one.duplicated, one.out_of_order)
        rows.append((one.service, *(f"{figure:,}" for figure in figures)))
    return rows


def _print(found: list[Latency] | list[Failover], as_json: bool, rows: list[tuple[str, ...]]) -> None:
    import msgspec
    from rich.table import Table

    from bench.figures import machine

    here = machine()
    if as_json:
        typer.echo(msgspec.json.encode({"machine": here, "figures": found}))
        return
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows[1:]:
        table.add_row(*row)
    stdout().print(table)
    stdout().print(f"{here.cores} cores, {here.processor}, Python {here.python}, load {here.load}")
