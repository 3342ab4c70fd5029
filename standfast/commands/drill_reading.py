"""`standfast drill watch | compare | import`: reading what drills do and did, and experiments of another tool."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import AsJson, Config, finite, located_settings, print_json, stderr, stdout

if TYPE_CHECKING:
    from drills.control.outcomes import Outcomes
    from drills.evidence.history import History
    from drills.reports.live_figures import MetricsReading
    from drills.reports.watching import WatchedDrills
    from schemas.records import DrillEvent

_POLL_S = 0.25
_SCRAPE_EVERY_S = 1.0
Run = Annotated[str, typer.Argument(metavar="RUN", help="A drill_id, or a file of $STANDFAST_HOME/drills.")]


def compare(
    first: Run,
    second: Run,
    noise: Annotated[
        float, typer.Option("--noise", help="The share by which latency may be larger.", min=0.0, callback=finite)
    ] = 0.1,
    rto_noise: Annotated[
        float, typer.Option("--rto-noise", help="The same for the recovery time.", min=0.0, callback=finite)
    ] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Whether a drill went worse than an earlier run of it on this machine.

    Exit codes: 0 the second run is no worse than the first, 1 it is worse, 2 it cannot be told, 64 wrong usage.

    Example: standfast drill compare worker-kill-1f0c9a2e worker-kill-77ab01c3
    """
    from drills.reports.comparison import CODES, comparison
    from drills.reports.comparison_table import comparison_table

    found = comparison(_history(first), _history(second), noise, rto_noise)
    if as_json:
        print_json(found)
    else:
        stdout().print(comparison_table(found))
    if code := CODES[found.outcome]:
        raise typer.Exit(code)


def _history(run: str) -> History:
    from drills.evidence.logbook import history_in, kept
    from standfast.core.errors import DrillUsageError

    file = Path(run)
    history = history_in(file) if file.suffix == ".json" else kept(run)
    if history is None:
        raise DrillUsageError(
            f"{run}: no readable history of a drill; only the machine that ran it has it, for its last hundred drills: "
            "see `standfast drill report`, or name a file"
        )
    return history


def watch(
    drill_id: Annotated[
        str | None, typer.Argument(metavar="[DRILL_ID]", help="One drill; else all.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each event as a line of JSON, for programs.")] = False,
    config: Config = None,
) -> None:
    """Drills as they run: phases, faults, the verdicts as they firm up; live on a terminal, else a line an event.

    With a DRILL_ID it ends with that drill, with the exit code of `drill run`; else it goes on until Ctrl-C.

    Example: standfast drill watch
    """
    from drills.control.outcomes import Outcomes
    from drills.reports.exit_code import exit_code
    from drills.reports.report import verdict_table
    from drills.reports.watching import WatchedDrills
    from schemas.codec import Codec

    outcomes = Outcomes(located_settings(config), Codec(), "standfast-drill-watch")
    try:
        watched = WatchedDrills((outcome.event for outcome in outcomes.from_the_start()), drill_id)
        if as_json or not stdout().is_terminal:
            _print_events(watched, outcomes, as_json=as_json)
        else:
            _show_live(watched, outcomes)
    finally:
        outcomes.close()
    if watched.last is None:
        return
    if not as_json:
        stdout().print(verdict_table(watched.last))
    if code := exit_code(watched.last):
        raise typer.Exit(code)


def _print_events(watched: WatchedDrills, outcomes: Outcomes, *, as_json: bool) -> None:
    from drills.reports.watching import event_line

    def told(event: DrillEvent) -> None:
        if as_json:
            print_json(event)
        else:
            stdout().print(event_line(event))

    for event in watched.events:
        told(event)
    while watched.last is None:
        new = outcomes.next(_POLL_S)
        if new is not None and watched.takes(new):
            told(new)


def _show_live(watched: WatchedDrills, outcomes: Outcomes) -> None:
    from rich.live import Live

    readings: list[MetricsReading] = []
    due = 0.0
    with Live(console=stdout(), auto_refresh=False, transient=True) as live:
        while watched.last is None:
            if time.monotonic() > due:
                readings, due = _read_metrics(readings), time.monotonic() + _SCRAPE_EVERY_S
            figures = readings[1].since(readings[0]) if len(readings) > 1 else None
            live.update(watched.screen(figures), refresh=True)
            new = outcomes.next(_POLL_S)
            if new is not None:
                watched.takes(new)


def _read_metrics(readings: list[MetricsReading]) -> list[MetricsReading]:
    """The last two readings of the metrics of the system on this machine; empty if there is none that answers."""
    import httpx

    from drills.reports.live_figures import reading
    from standfast.core.status import read

    running = read()
    if running is None or not running.metrics_url:
        return []
    try:
        answer = httpx.get(running.metrics_url, timeout=1.0, trust_env=False)
    except httpx.HTTPError:
        return readings
    return [*readings[-1:], reading(answer.text)]


def import_experiment(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment of the Chaos Toolkit, JSON or YAML.")],
) -> None:
    """An experiment of the Chaos Toolkit as a drill: YAML on stdout; what was left out or changed on stderr.

    Nothing of the experiment is run. Exit code 64 for a file that is none, or without a fault that we have.

    Example: standfast drill import experiment.json > my-drill.yaml
    """
    from drills.catalogue.chaos_toolkit import imported
    from standfast.core.errors import DrillUsageError
    from standfast.core.printable import one_line

    try:
        drill = imported(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise DrillUsageError(f"{file} cannot be read: {error}") from None
    except DrillUsageError as error:
        raise DrillUsageError(f"{file}: {error}") from None
    typer.echo(drill.text, nl=False)
    for line in drill.left_out:
        stderr().print(one_line(line), markup=False, soft_wrap=True)
