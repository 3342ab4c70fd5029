"""`standfast bench failover`: the time until a successor answers, for each kind of fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, finite, settings_from, stderr, stdout

if TYPE_CHECKING:
    from bench.failover.campaign import Failover
    from standfast.core.settings import Settings


def failover_command(
    strike: Annotated[
        str,
        typer.Option(
            "--strike",
            help="kill, hang, two, standby, stop (the running system); broker, controller, supervisor, host (its own); "
            "separated by commas.",
        ),
    ] = "kill",
    services: Annotated[str, typer.Option("--services", help="Which services, separated by commas.")] = "search",
    kills: Annotated[int, typer.Option("--kills", min=1, help="How many strikes of each kind.")] = 10,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests a second meanwhile.", callback=finite)] = 100.0,
    pause: Annotated[
        float, typer.Option("--pause", min=0.1, help="Seconds between strikes, about.", callback=finite)
    ] = 2.0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Strike at random moments under load and wait for recovery; exit code 1 if an answer was lost or doubled.

    Time from the strike to the first committed answer of a successor from the victim's partitions; for stop, broker and
    controller the longest that any request waited beyond what is usual; for supervisor from its model's load on. host
    kills one of two supervisors that serve the same topics.

    Example: standfast bench failover --strike kill,hang,stop --kills 40
    """
    from drills.faults import fault_named
    from standfast.core.errors import UsageError

    settings = settings_from(config)
    for name in strike.split(","):
        if fault_named(name).figure is None:  # wrong names are reported before anything is measured
            raise UsageError(f"--strike {name}: only drills inject this fault; see: standfast drill list")
    results = [
        _measured(settings, service, name, kills, rate, pause)
        for service in services.split(",")
        for name in strike.split(",")
    ]
    _print(results, as_json)
    if any(result.lost or result.doubled for result in results):
        raise typer.Exit(1)


def _measured(settings: Settings, service: str, strike: str, kills: int, rate: float, pause: float) -> Failover:
    """Measures on the running system, or on a system of its own in a temporary folder."""
    from bench.environment import copied_models, workplace
    from bench.failover.campaign import failover, system_for
    from consumers.service import service as service_named
    from drills.faults import fault_named
    from drills.faults.running_system import RunningSystem
    from standfast.core.processes.locating import located

    stderr().print(f"{strike} of {service}", markup=False)
    served = service_named(service, settings)
    if fault_named(strike).brokers is None:
        return failover(RunningSystem(located(settings), served), strike, kills, rate, pause)
    with workplace() as folder:
        home = copied_models((served.name,), folder / "home")
        with system_for(strike, settings, served.name, home) as system:
            return failover(system, strike, kills, rate, pause)


def _print(results: list[Failover], as_json: bool) -> None:
    import msgspec
    from rich.table import Table

    from bench.figures import machine

    host = machine()
    if as_json:
        typer.echo(msgspec.json.encode({"machine": host, "figures": results}))
        return
    table = Table(box=None, pad_edge=False)
    headings = ("strike", "service", "times", "median ms", "p90", "p99", "worst", "lost", "doubled", "out of order")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"strike", "service"} else "right")
    for result in results:
        times = (result.median_ms, result.p90_ms, result.p99_ms, result.worst_ms)
        counts = (result.lost, result.doubled, result.out_of_order)
        table.add_row(
            result.strike, result.service, str(result.strikes), *(f"{ms:,.1f}" for ms in times), *map(str, counts)
        )
    stdout().print(table)
    requests = sum(result.requests for result in results)
    stdout().print(
        f"{requests:,} requests; {host.cores} cores, {host.processor}, Python {host.python}, load {host.load}"
    )
