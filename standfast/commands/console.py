"""`standfast console`: the link that opens the console, which is served first if no system here has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, print_json, settings_from, stderr, stdout

if TYPE_CHECKING:
    from standfast.core.settings import Settings

app = typer.Typer()
_BEGINS_WITHIN_S = 30.0  # it is started last


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

    beside = view_only and port is None and status.is_running()  # that system has a console on the usual port
    flags: dict[str, dict[str, object]] = {"console": {"port": 0 if beside else port, "view_only": view_only or None}}
    settings = settings_from(config, flags, role="console")
    url = _url_of_running_system() if settings.console.enabled and port is None and not view_only else ""
    if url:
        _say(url, as_json=as_json)
    else:
        _serve(settings, as_json=as_json)


def _url_of_running_system() -> str:
    """Where the system on this machine serves its console, waiting for one that is about to; empty if there is none.

    Raises SetupError if it is to serve one and cannot.
    """
    import time

    from standfast.core import status
    from standfast.core.errors import SetupError

    deadline = time.monotonic() + _BEGINS_WITHIN_S
    while time.monotonic() < deadline:
        running = status.read()
        if running is None or running.console_url:
            return running.console_url if running is not None else ""
        roles = {role.id: role for role in running.roles}
        if running.state == "ready" and "drills" not in roles:
            return ""  # `standfast worker`: only a whole system has a console
        if "console" in roles and roles["console"].failing:
            raise SetupError(roles["console"].failing)
        time.sleep(0.1)
    return ""


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
