"""`standfast status --all-hosts`: this machine's own status file, and beside it what the topic `status` says of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import typer

from standfast.commands.options import print_json, settings_from, stderr, stdout
from standfast.commands.status_table import STOPPED, summary
from standfast.core.errors import ClusterError
from standfast.core.hosts.host_statuses import HostSeen, HostStatuses
from standfast.core.printable import one_line
from standfast.core.processes.locating import located
from standfast.core.status import SystemStatus, read

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from standfast.core.settings import Settings

_WITHIN_S = 4.0


def show(config: Path | None, *, as_json: bool) -> None:
    """Prints it; raises typer.Exit with 1 if no host runs. Takes 4 s at most, if Kafka does not answer."""
    settings, own = settings_from(config), read()
    hosts, problem = _heard(settings)
    if as_json:
        shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(own) if own else STOPPED)
        print_json({**shown, "hosts": hosts})
    else:
        _print(own, hosts or [])
    if problem:
        stderr().print(f"What hosts say on Kafka is not known: {one_line(problem)}", markup=False, soft_wrap=True)
    elif not hosts:
        stderr().print("No host says anything; start one with `standfast up --detach`.")
    if own is None and all(seen.gone for seen in hosts or ()):
        raise typer.Exit(1)


def _heard(settings: Settings) -> tuple[list[HostSeen] | None, str]:
    """The hosts, None where that is not known, and then why."""
    try:
        with HostStatuses(located(settings)) as statuses:
            statuses.settle(_WITHIN_S)
            return (None, statuses.problem) if statuses.problem else (statuses.hosts(), "")
    except ClusterError as error:
        return None, str(error)


def _print(own: SystemStatus | None, hosts: list[HostSeen]) -> None:
    if own is not None:
        stdout().print(summary(own))
        stdout().print()
    if hosts:
        stdout().print(_table(hosts, own.host if own else ""))


def _table(hosts: list[HostSeen], own: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("host", "state", "heard", "serving", "workers", "Kafka", "detail"):
        table.add_column(column, overflow="fold")
    for seen in hosts:
        status = seen.status
        name = f"{seen.host} (here)" if seen.host == own else seen.host
        colour = "red" if seen.gone else "green" if status.state == "ready" else "yellow"
        table.add_row(
            escape(one_line(name)),
            f"[{colour}]{'gone' if seen.gone else status.state}[/]",
            "-" if seen.gone else f"{seen.silent_s:.1f} s ago",
            str(sum(row.state == "serving" for row in status.workers)),
            str(sum(row.role == "active" for row in status.workers)),
            escape(one_line(status.bootstrap_servers)),
            escape(one_line(status.detail)),
        )
    return table
