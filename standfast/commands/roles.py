"""`standfast worker`, `standfast stream` and `standfast drills`: one role alone, for containers."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from standfast.commands.options import Config, Standbys, Workers, settings_from

worker_app = typer.Typer()
stream_app = typer.Typer()
drills_app = typer.Typer()


@worker_app.command("worker")
def worker(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE]...", help="All of them, unless some are named.", show_default=False),
    ] = None,
    config: Config = None,
    workers: Workers = None,
    standbys: Standbys = None,
) -> None:
    """Workers and warm standbys of services (search, recommend), on the Kafka of KAFKA_BOOTSTRAP_SERVERS.

    Example: standfast worker search --workers 2 --standbys 1
    """
    from standfast.core.services import NAMES, spec_of

    chosen = tuple(dict.fromkeys(services or NAMES))
    specs = [spec_of(name) for name in chosen]
    per_service: dict[str, object] = {"workers": workers, "standbys": standbys}
    settings = settings_from(config, dict.fromkeys(chosen, per_service), role="supervisor")

    from standfast.system import run

    profiles = ("profiles",) if any(spec.histories for spec in specs) else ()
    run(settings, services=chosen, roles=(*profiles, "catalogue", "models", "agent"), embedded=False)


@stream_app.command("stream")
def stream(config: Config = None) -> None:
    """The stream processor: keeps the users' profiles and the windows over all traffic.

    Example: standfast stream
    """
    settings = settings_from(config, role="stream")

    from standfast import metrics_server
    from standfast.core.processes.locating import located
    from streams.__main__ import run

    metrics_server.start(settings.metrics)
    code = run(located(settings))
    logging.shutdown()
    os._exit(code)  # Faust's threads may still wait for a broker that is gone, and would keep the process alive


@drills_app.command("drills")
def drills(config: Config = None) -> None:
    """The drill runner: takes drill events from drills.control, answers on drills.results.

    Example: standfast drills
    """
    settings = settings_from(config, role="drills")

    from drills.main import run
    from standfast import metrics_server
    from standfast.core.processes.locating import located

    metrics_server.start(settings.metrics)
    run(located(settings))
