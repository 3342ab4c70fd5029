"""`standfast up` and `standfast down`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import Config, Standbys, Workers, settings_from, stderr, stdout, tell_wrong_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from standfast.core.status import SystemStatus

up_app = typer.Typer()
down_app = typer.Typer()


@up_app.command("up")
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return as soon as the system is ready.")] = False,
    config: Config = None,
    workers: Workers = None,
    standbys: Standbys = None,
    brokers: Annotated[
        int | None, typer.Option("--brokers", help="Embedded Kafka brokers, 1 or 3.", show_default=False)
    ] = None,
    partitions: Annotated[
        int | None, typer.Option("--partitions", help="Partitions of a new topic.", show_default=False)
    ] = None,
) -> None:
    """Start the system and stay in the foreground until Ctrl-C.

    Starts its own Apache Kafka, unless KAFKA_BOOTSTRAP_SERVERS names one.

    Example: standfast up --detach --workers 3 --standbys 1
    """
    per_service: dict[str, object] = {"workers": workers, "standbys": standbys}
    from standfast.core.services import NAMES

    flags: dict[str, dict[str, object]] = {
        **dict.fromkeys(NAMES, per_service),
        "kafka": {"brokers": brokers, "partitions": partitions},
    }
    settings = settings_from(config, flags, role="supervisor")
    _refuse_second()
    if not detach:
        from standfast.system import run

        run(settings)
        return
    given = {
        "--config": config,
        "--workers": workers,
        "--standbys": standbys,
        "--brokers": brokers,
        "--partitions": partitions,
    }
    _up_detached([word for flag, value in given.items() if value is not None for word in (flag, str(value))])


@down_app.command("down")
def down() -> None:
    """Stop the system that `standfast up` started.

    Workers finish and commit what they hold first, so no request is lost.

    Example: standfast down
    """
    from standfast.core import status
    from standfast.core.errors import ClusterError
    from standfast.core.home import folder
    from standfast.core.processes import launching
    from standfast.kafka import leftovers

    tell_wrong_settings()
    if not status.is_running():
        ended = leftovers.end(folder("kafka"))
        message = f"Brokers that a killed system left behind were ended: {', '.join(map(str, ended))}."
        stderr().print(message if ended else "Nothing is running.")
        return
    running = status.read()
    if running is None:
        raise ClusterError("the system is just starting and has not said its process id; try again in a second")
    with stderr().status("Stopping: workers finish what they hold, then Kafka stops"):
        stopped = launching.stop(running)
    if not stopped:
        raise ClusterError(
            f"process {running.supervisor_pid} still runs a minute after it was asked to stop; see its log in "
            f"{launching.log_file().parent}, or end it with kill -9"
        )
    stderr().print("Stopped.")


def _refuse_second() -> None:
    from standfast.core import status
    from standfast.core.errors import ClusterError
    from standfast.core.home import home

    if not status.is_running():
        return
    running = status.read()
    who = f"process {running.supervisor_pid}" if running else "another process"
    raise ClusterError(
        f"{who} already runs a system on {home()}; stop it with `standfast down`, or run a second one with "
        "STANDFAST_HOME set to another folder"
    )


def _up_detached(arguments: list[str]) -> None:
    from standfast.commands.status_table import summary
    from standfast.core.errors import ClusterError
    from standfast.core.processes import launching

    process = launching.start_detached(arguments)
    try:
        ready = _watched(lambda tell: launching.wait_ready(process, tell))
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    except ClusterError:
        stderr().print(f"All of it is in {launching.log_file()}", markup=False, soft_wrap=True)
        raise
    stdout().print(summary(ready))


def _watched(wait: Callable[[Callable[[str], None]], SystemStatus]) -> SystemStatus:
    """Runs `wait`, showing its progress messages: as a spinner on a terminal, else a line each."""
    from rich.markup import escape

    console = stderr()
    if not console.is_terminal:
        return wait(lambda detail: console.print(detail, markup=False))
    with console.status("Starting") as spinner:
        return wait(lambda detail: spinner.update(escape(detail)))
