"""`standfast bench overload`: several times the requests that can be computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, finite, located_settings, stdout

if TYPE_CHECKING:
    from bench.overload import Overload


def overload_command(
    services: Annotated[str, typer.Option("--services", help="Which services, separated by commas.")] = "search",
    times: Annotated[
        float, typer.Option("--times", min=1, help="How many times what can be computed.", callback=finite)
    ] = 3.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For how long.", callback=finite)] = 10.0,
    deadline_ms: Annotated[int, typer.Option("--deadline-ms", min=1, help="Each request's deadline.")] = 1000,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Flood the running system with requests that have a deadline; exit code 1 if one was lost or doubled.

    Example: standfast bench overload --times 3
    """
    import msgspec

    from bench.figures import machine
    from bench.overload import overload
    from consumers.service import service

    settings = located_settings(config)
    results = [
        overload(settings, service(name, settings).name, times, seconds, deadline_ms) for name in services.split(",")
    ]
    if as_json:
        typer.echo(msgspec.json.encode({"machine": machine(), "figures": results}))
    else:
        for result in results:
            _print(result)
    if any(result.unanswered or result.doubled for result in results):
        raise typer.Exit(1)


def _print(result: Overload) -> None:
    from rich.table import Table

    from bench.figures import machine

    rows = [
        ("service, workers", f"{result.service}, {result.workers}"),
        ("capacity, 64 in flight", f"{result.capacity:,.0f}/s"),
        ("sent", f"{result.rate:,.0f}/s for {result.seconds:g} s, deadline {result.deadline_ms} ms"),
        ("goodput: good answers in time", f"{result.goodput:,.0f}/s, {result.ratio:.2f} of the capacity"),
        ("their p50, p99", f"{result.p50_ms:,.1f} ms, {result.p99_ms:,.1f} ms"),
        ("answers", ", ".join(f"{count:,} {status}" for status, count in sorted(result.statuses.items()))),
        ("without an answer, with two", f"{result.unanswered:,}, {result.doubled:,}"),
        ("answered after the last was sent", f"{result.drained_s:.2f} s"),
        ("one in flight, p50 before and after", f"{result.before_p50_ms:.1f} ms, {result.after_p50_ms:.1f} ms"),
        ("largest worker at first, most, last", " MB, ".join(f"{mb:,.0f}" for mb in result.worker_mb) + " MB"),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in rows:
        table.add_row(*row)
    host = machine()
    stdout().print(table)
    stdout().print(f"{host.cores} cores, {host.processor}, Python {host.python}, load {host.load}")
