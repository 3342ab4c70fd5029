"""`standfast worker`, `standfast stream` and `standfast drills`: one role alone, for containers."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import Config, Standbys, Workers, settings_from

if TYPE_CHECKING:
    from standfast.settings import MetricsSettings

worker_app = typer.Typer()
stream_app = typer.Typer()
drills_app = typer.Typer()
_SERVICES = ("search", "recommend")


@worker_app.command("worker")
def worker(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="search, recommend or both.", show_default=False)
    ] = None,
    config: Config = None,
    workers: Workers = None,
    standbys: Standbys = None,
) -> None:
    """Workers and warm standbys of one or both services, on the Kafka of KAFKA_BOOTSTRAP_SERVERS.

    Example: standfast worker search --workers 2 --standbys 1
    """
    from standfast.errors import UsageError

    chosen = tuple(dict.fromkeys(services or _SERVICES))
    for name in chosen:
        if name not in _SERVICES:
            raise UsageError(f"{name}: no such service; there are {' and '.join(_SERVICES)}")
    per_service: dict[str, object] = {"workers": workers, "standbys": standbys}
    settings = settings_from(config, dict.fromkeys(chosen, per_service), role="supervisor")

    from standfast.system import run

    run(settings, services=chosen, roles=("profiles",) if "recommend" in chosen else (), embedded=False)


@stream_app.command("stream")
def stream(config: Config = None) -> None:
    """The stream processor: keeps the users' profiles and the windows over all traffic.

    Example: standfast stream
    """
    settings = settings_from(config, role="stream")

    from standfast.locating import located
    from streams.__main__ import run

    _serve_metrics(settings.metrics)
    code = run(located(settings))
    logging.shutdown()
    os._exit(code)  # Faust's threads may still wait for a broker that is gone; everything of ours is done


@drills_app.command("drills")
def drills(config: Config = None) -> None:
    """The drill runner: takes drill events from drills.control, answers on drills.results.

    Example: standfast drills
    """
    settings = settings_from(config, role="drills")

    from drills.main import run
    from standfast.locating import located

    _serve_metrics(settings.metrics)
    run(located(settings))


def _serve_metrics(wanted: MetricsSettings) -> None:
    """Under `standfast up` the supervisor does this for all roles; a role alone has only itself."""
    from prometheus_client import start_http_server

    from standfast.errors import SetupError

    try:
        start_http_server(wanted.port, wanted.host)
    except OSError as error:
        raise SetupError(
            f"metrics.port = {wanted.port}: {error.strerror}; set another one, or 0 for any free port"
        ) from None
