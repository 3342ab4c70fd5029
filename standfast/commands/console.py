"""`standfast console`: the link that opens the console, which is served first if no system here has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, print_json, settings_from, stderr, stdout

if TYPE_CHECKING:
    from standfast.core.settings import Settings

app = typer.Typer()


@app.command("console")
def console(
    view_only: Annotated[bool, typer.Option("--view-only", help="Nothing can be started or stopped from it.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", help="Where it is served; 0: any free port.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """A page to watch the system and to start drills: prints a link that opens it once, within 15 minutes.

    `standfast up` serves it already, and then this returns at once; else, or with --port, it is served here until
    Ctrl-C, for the Kafka of KAFKA_BOOTSTRAP_SERVERS.

    Example: standfast console
    """
    from standfast.core import status

    running = status.read()
    if running is not None and running.console_url and port is None and not view_only:
        _say(running.console_url, as_json=as_json)
        return
    flags: dict[str, dict[str, object]] = {"console": {"port": port, "view_only": view_only or None}}
    _serve(settings_from(config, flags, role="console"), as_json=as_json)


def _say(url: str, *, as_json: bool) -> None:
    from console.keys import link

    opens = link(url)
    if as_json:
        print_json({"url": url, "link": opens})
        return
    stdout().print(opens, markup=False, soft_wrap=True)
    stderr().print("It opens the console once, within 15 minutes; the browser stays signed in for a week.")


def _serve(settings: Settings, *, as_json: bool) -> None:
    from console.server import run
    from standfast.core.processes.locating import located

    run(located(settings), lambda url: _say(url, as_json=as_json))
