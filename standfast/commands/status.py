"""`standfast status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, stderr, stdout, tell_wrong_settings
from standfast.commands.status_table import STOPPED, summary

if TYPE_CHECKING:
    from standfast.core.status import SystemStatus

app = typer.Typer()
_REFRESH_S = 0.5


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

    Exit code 1 when nothing runs. Only --all-hosts asks Kafka, and only it uses --config.

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
