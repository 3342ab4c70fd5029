"""`standfast status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, stderr, stdout, tell_wrong_settings

if TYPE_CHECKING:
    from rich.console import Group

    from standfast.core.status import SystemStatus, WorkerStatus

app = typer.Typer()
_REFRESH_S = 0.5
STOPPED = (
    '{"state":"stopped","bootstrap_servers":"","metrics_url":"","host":"","workers":[],"roles":[],"topics":[],'
    '"services":[]}'
)
_COLOURS = {
    "serving": "green",
    "ready": "green",
    "running": "green",
    "backing_off": "red",
    "failing": "red",
    "waiting": "red",
}


@app.command("status")
def status(
    as_json: AsJson = False,
    once: Annotated[bool, typer.Option("--once", help="Show it once instead of live.")] = False,
    all_hosts: Annotated[
        bool, typer.Option("--all-hosts", help="Every host of the system, once, as the topic status says.")
    ] = False,
    config: Config = None,
) -> None:
    """What runs on this machine; on a terminal a live table until Ctrl-C.

    Exit code 1 when nothing runs. Kafka is asked for --all-hosts only, and --config is for that.

    Example: standfast status --json
    """
    import msgspec

    from standfast.core.status import read

    if all_hosts:
        from standfast.commands.status_hosts import show

        show(config, as_json=as_json)
        return
    tell_wrong_settings()
    running = read()
    if as_json:
        typer.echo(msgspec.json.encode(running) if running else STOPPED)
    elif running and not once and stdout().is_terminal:
        running = _live()
    elif running:
        stdout().print(summary(running))
    if running is None:
        stderr().print("No system is running here; start one with `standfast up --detach`.")
        raise typer.Exit(1)


def summary(running: SystemStatus) -> Group:
    """The status as tables: a line on the whole, then a row for each process."""
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "role", "state", "pid", "restarts", "model", "partitions"):
        table.add_column(column, justify="right" if column in {"pid", "restarts"} else "left", overflow="fold")
    for worker in sorted(running.workers, key=lambda each: (each.service, each.role, each.id)):
        state = _coloured("failing" if worker.failing else "waiting" if worker.waiting else worker.state)
        model, owned = worker.model, _partitions(worker)
        table.add_row(worker.id, worker.role, state, str(worker.pid), str(worker.restarts), model, owned)
    for role in running.roles:
        table.add_row(role.id, "role", _coloured(role.state), str(role.pid), str(role.restarts), "", "")
    return Group(_headline(running), "", table)


def _headline(running: SystemStatus) -> str:
    from rich.markup import escape

    what = f"[bold]{running.state}[/]" + (f" ({escape(running.detail)})" if running.detail else "")
    return f"{what}  Kafka {running.bootstrap_servers or '-'}  metrics {running.metrics_url or '-'}"


def _live() -> SystemStatus | None:
    from rich.live import Live

    from standfast.core.status import read

    running = read()
    with Live(console=stdout(), auto_refresh=False, transient=False) as live:
        while running is not None:
            live.update(summary(running), refresh=True)
            time.sleep(_REFRESH_S)
            running = read()
    return running


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state, "yellow")
    return f"[{colour}]{state}[/]"


def _partitions(worker: WorkerStatus) -> str:
    return "  ".join(
        f"{topic} {','.join(map(str, sorted(owned)))}" for topic, owned in sorted(worker.partitions.items()) if owned
    )
