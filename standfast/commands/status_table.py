"""A system's status as a table, and the JSON of `status --json` when none runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

    from standfast.core.status import SystemStatus, WorkerStatus

STOPPED = (
    '{"state":"stopped","bootstrap_servers":"","metrics_url":"","host":"","workers":[],"roles":[],"topics":[],'
    '"services":[],"takeovers":[],"console_url":""}'
)
_COLOURS = {
    "serving": "green",
    "ready": "green",
    "running": "green",
    "backing_off": "red",
    "failing": "red",
    "waiting": "red",
}


def summary(running: SystemStatus) -> Group:
    """A line on the whole system, then a table with a row for each process."""
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "role", "state", "pid", "restarts", "model", "partitions"):
        table.add_column(column, justify="right" if column in {"pid", "restarts"} else "left", overflow="fold")
    for worker in sorted(running.workers, key=lambda worker: (worker.service, worker.role, worker.id)):
        state = _coloured("failing" if worker.failing else "waiting" if worker.waiting else worker.state)
        model, partitions = worker.model, _partitions(worker)
        table.add_row(worker.id, worker.role, state, str(worker.pid), str(worker.restarts), model, partitions)
    for role in running.roles:
        table.add_row(role.id, "role", _coloured(role.state), str(role.pid), str(role.restarts), "", "")
    return Group(_headline(running), *_challengers(running), "", table)


def _challengers(running: SystemStatus) -> list[str]:
    """A line for each service with a challenger, or whose last one has ended by itself."""
    from rich.markup import escape

    lines = []
    for service in running.services:
        if service.challenger:
            share = f"answers {service.share * 100:g} % of the keys" if service.share else "answers nothing"
            shadow = ", computes the others in the shadow" if service.shadow else ""
            about = f" ({escape(service.canary)})" if service.canary else ""
            lines.append(f"{service.champion} is active, {service.challenger} beside it {share}{shadow}{about}")
        elif service.canary:
            lines.append(f"{service.champion} is active; {escape(service.canary)}")
    return lines


def _headline(running: SystemStatus) -> str:
    from rich.markup import escape

    state = f"[bold]{running.state}[/]" + (f" ({escape(running.detail)})" if running.detail else "")
    where = f"Kafka {running.bootstrap_servers or '-'}  metrics {running.metrics_url or '-'}"
    return f"{state}  {where}" + (f"  console {running.console_url}" if running.console_url else "")


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state, "yellow")
    return f"[{colour}]{state}[/]"


def _partitions(worker: WorkerStatus) -> str:
    return "  ".join(
        f"{topic} {','.join(map(str, sorted(numbers)))}"
        for topic, numbers in sorted(worker.partitions.items())
        if numbers
    )
