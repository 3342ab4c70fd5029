"""`standfast bench soak`: many failovers in a row under a steady load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, finite, located_settings, stdout

if TYPE_CHECKING:
    from bench.failover.soak import Soak


def soak_command(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="For how long.", callback=finite)] = 10.0,
    every: Annotated[
        float, typer.Option("--every", min=0.5, help="Seconds from one kill to the next.", callback=finite)
    ] = 10.0,
    searches: Annotated[
        float, typer.Option("--searches", min=0, help="Searches a second; 0 for none.", callback=finite)
    ] = 100.0,
    recommendations: Annotated[
        float, typer.Option("--recommendations", min=0, help="Recommendations a second; 0 for none.", callback=finite)
    ] = 1000.0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Kill a worker of the running system every few seconds under load; exit code 1 if an answer was lost or doubled.

    The time begins when the load has settled; its first tenth is without kills, to compare with. Every minute all
    processes are weighed.

    Example: standfast bench soak --minutes 10
    """
    import msgspec

    from bench.failover.soak import soak
    from bench.figures import machine
    from standfast.core.errors import UsageError

    every_rate: dict[str, float] = {"search": searches, "recommend": recommendations}
    rates = {name: rate for name, rate in every_rate.items() if rate}
    if not rates:
        raise UsageError("--searches 0 --recommendations 0: there is no load left; ask for one of them")
    result = soak(located_settings(config), rates, minutes * 60, every)
    if as_json:
        typer.echo(msgspec.json.encode({"machine": machine(), "figures": result}))
    else:
        _print(result)
    if any(served.lost or served.doubled for served in result.served):
        raise typer.Exit(1)


def _print(result: Soak) -> None:
    from rich.table import Table

    from bench.figures import machine

    headings = ("service", "requests", "kills", "failover p50", "p99", "calm p99", "between p99", "lost", "doubled")
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "service" else "right")
    for served in result.served:
        times = (
            served.failover_p50_ms,
            served.failover_p99_ms,
            served.calm_p99_ms or 0.0,
            served.between_p99_ms or 0.0,
        )
        counts = (f"{served.requests:,}", str(served.kills))
        table.add_row(served.service, *counts, *(f"{ms:,.1f}" for ms in times), str(served.lost), str(served.doubled))
    stdout().print(table)
    for weight in result.weights:
        each = "".join(f", {name} {mb:,.0f}" for name, mb in weight.each_mb.items())
        stdout().print(
            f"after {weight.after_s:,.0f} s: a worker {weight.worker_mb:,.0f} MB, Kafka {weight.kafka_mb:,.0f}{each}"
        )
    how = "when latency had settled" if result.warm_up.settled else "though latency had not settled: do not compare p99"
    stdout().print(f"warmed up for {result.warm_up.seconds:,.0f} s, {how}")
    host = machine()
    stdout().print(f"{result.workers} workers; {host.cores} cores, {host.processor}, load {host.load}")
