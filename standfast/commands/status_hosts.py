"""`standfast status --all-hosts`: this machine's status file, and every host's record on the topic `status`."""

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
    """Prints the statuses of all hosts; raises typer.Exit with 1 if none runs. Blocks for 4 s if Kafka is away."""
    settings, local = settings_from(config), read()
    hosts, problem = _hosts(settings)
    if as_json:
        shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(local) if local else STOPPED)
        print_json({**shown, "hosts": hosts})
    else:
        _print(local, hosts or [])
    if problem:
        stderr().print(f"What hosts say on Kafka is not known: {one_line(problem)}", markup=False, soft_wrap=True)
    elif not hosts:
        stderr().print("No host says anything; start one with `standfast up --detach`.")
    if local is None and all(host.gone for host in hosts or ()):
        raise typer.Exit(1)


def _hosts(settings: Settings) -> tuple[list[HostSeen] | None, str]:
    """The hosts on the topic and an empty text; None and the reason if the topic cannot be read."""
    try:
        with HostStatuses(located(settings)) as statuses:
            statuses.settle(_WITHIN_S)
            return (None, statuses.problem) if statuses.problem else (statuses.hosts(), "")
    except ClusterError as error:
        return None, str(error)


def _print(local: SystemStatus | None, hosts: list[HostSeen]) -> None:
    if local is not None:
        stdout().print(summary(local))
        stdout().print()
    if hosts:
        stdout().print(_table(hosts, local.host if local else ""))


def _table(hosts: list[HostSeen], local_host: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("host", "state", "heard", "serving", "workers", "models", "Kafka", "detail"):
        table.add_column(column, overflow="fold")
    for host in hosts:
        status = host.status
        name = f"{host.host} (here)" if host.host == local_host else host.host
        colour = "red" if host.gone else "green" if status.state == "ready" else "yellow"
        table.add_row(
            escape(one_line(name)),
            f"[{colour}]{'gone' if host.gone else status.state}[/]",
            "-" if host.gone else f"{host.silent_s:.1f} s ago",
            str(sum(row.state == "serving" for row in status.workers)),
            str(sum(row.role == "active" for row in status.workers)),
            escape(one_line(" ".join(sorted({row.model for row in status.workers if row.model})) or "-")),
            escape(one_line(status.bootstrap_servers)),
            escape(one_line(status.detail)),
        )
    return table
