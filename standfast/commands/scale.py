"""`standfast scale`: how many workers there are, and another number of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, stderr, stdout, tell_wrong_settings

if TYPE_CHECKING:
    from rich.table import Table

    from consumers.supervision.orders import Wanted
    from standfast.core.status import ServiceStatus

app = typer.Typer()
_POLL_S = 0.05
_WITHIN_S = 120.0


@app.command("scale")
def scale(
    service: Annotated[str | None, typer.Argument(help="search or recommend; both if left out.")] = None,
    workers: Annotated[str | None, typer.Argument(help="How many; auto: as many as the load needs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many workers there are and why, or change their number until `standfast down`.

    Returns when the new number serves. No request is lost, and partitions that stay with their worker don't pause.

    Example: standfast scale search 3
    """
    import msgspec

    tell_wrong_settings()
    if service is not None and workers is not None:
        services = [_scaled(service, workers)]
    else:
        services = _services() if service is None else [_service(service)]
    if as_json:
        typer.echo(msgspec.json.encode(services))
    else:
        stdout().print(_table(services))


def _scaled(name: str, text: str) -> ServiceStatus:
    from consumers.supervision import orders
    from standfast.core.errors import ClusterError, UsageError

    before = _service(name)
    wanted = _number(text)
    if wanted != "auto" and wanted > before.partitions:
        raise UsageError(
            f"{wanted} workers: {name} has {before.partitions} partitions, and a worker without one has nothing to do; "
            "raise the partitions first"
        )
    orders.give(name, wanted)
    began = time.monotonic()
    while not _is_reached(after := _service(name), wanted):
        if time.monotonic() - began > _WITHIN_S:
            raise ClusterError(
                f"{name} has {after.serving} workers after {_WITHIN_S:.0f} s, and {wanted} are wanted; "
                "`standfast status` and the log say what keeps them"
            )
        time.sleep(_POLL_S)
    took = time.monotonic() - began
    words = "as many workers as the load needs" if wanted == "auto" else f"{before.serving} → {after.serving} workers"
    stderr().print(f"{name}: {words}, after {took:.1f} s", markup=False)
    return after


def _number(text: str) -> Wanted:
    from standfast.core.errors import UsageError

    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= 256:
        return int(text)
    raise UsageError(f"{text}: the number of workers must be 1 to 256, or auto")


def _is_reached(service: ServiceStatus, wanted: Wanted) -> bool:
    if wanted == "auto":
        return service.auto
    return service.settled and not service.auto and service.workers == wanted


def _service(name: str) -> ServiceStatus:
    from standfast.core.errors import UsageError

    services = _services()
    for service in services:
        if service.name == name:
            return service
    raise UsageError(f"{name}: no such service runs; there are {' and '.join(service.name for service in services)}")


def _services() -> list[ServiceStatus]:
    from standfast.core.errors import ClusterError
    from standfast.core.status import read

    running = read()
    if running is None:
        raise ClusterError("no system is running here; start one with `standfast up --detach`")
    if not running.services:
        raise ClusterError("the system is still starting; try again when `standfast status` says ready")
    return running.services


def _table(services: list[ServiceStatus]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("service", "workers", "serving", "busy", "waiting", "by", "why"):
        right = heading in {"workers", "serving", "busy", "waiting"}
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for service in services:
        busy = "-" if service.busy is None else f"{service.busy:.0%}"
        waiting = "-" if service.waiting is None else str(service.waiting)
        by = f"load, {service.fewest} to {service.most}" if service.auto else "number"
        table.add_row(service.name, str(service.workers), str(service.serving), busy, waiting, by, service.reason)
    return table
