"""One run through the rows: each is measured and judged, even if others fail; nothing is left running."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker

from bench.background import BackgroundLoad
from bench.beside.conditions import system_conditions
from bench.beside.contenders import chosen as peers_named
from bench.beside.reference import reference
from bench.environment import workplace
from bench.figures import machine
from bench.rows.outcome import Report, RowOutcome, failed, judged
from bench.rows.row import Row, RowContext
from bench.rows.shared_system import SharedSystem
from standfast.core.errors import StandfastError
from standfast.core.settings import Settings

_SYSTEMS = (
    "`standfast up` with 2 workers and 1 standby a service, in the soak 4 and 64 partitions; search alone with 3 "
    "brokers, for the supervisor, and on each of 2 hosts; 1 worker and 1 standby beside the raw limit"
)


def measured(settings: Settings, rows: Sequence[Row], peers: str, quick: bool, tell: Callable[[str], None]) -> Report:
    """Measures the rows one after the other, which takes 45 minutes, or 10 with `quick`.

    Raises UsageError or SetupError for unknown or uninstalled peers before anything is measured.
    """
    peers_named(peers)
    conditions = {
        "rows": "few kills, requests and rounds: for a look" if quick else "in full",
        "systems": _SYSTEMS,
        **system_conditions(settings),
    }
    resource_tracker.ensure_running()  # once: else each comparison starts one of its own, and ends it too early
    before = reference(settings, tell)
    tell(str(before))
    with workplace() as folder:
        shared = SharedSystem(settings, folder, quick)
        try:
            outcomes = each(rows, lambda row: RowContext(shared, quick, peers, _named(row, tell)))
        finally:
            shared.clear()
    speeds = [before] if quick else [before, reference(settings, tell)]
    return Report(machine=machine(), reference=speeds, settings=conditions, rows=outcomes)


def each(rows: Sequence[Row], context_for: Callable[[Row], RowContext]) -> list[RowOutcome]:
    """The outcome of each row; one that cannot be measured has the reason in its outcome, and the next row follows."""
    outcomes = []
    for number, row in enumerate(rows, 1):
        context = context_for(row)
        context.tell(f"{number} of {len(rows)}, {row.what}")
        outcomes.append(_outcome(row, context))
        context.tell(f"{outcomes[-1].measured}{outcomes[-1].reason and f'; {outcomes[-1].reason}'}")
    return outcomes


def _outcome(row: Row, context: RowContext) -> RowOutcome:
    began, others = time.monotonic(), BackgroundLoad()
    try:
        measurement = row.measure(context)
    except Exception as error:  # noqa: BLE001 - one row that fails must not take an hour's other figures with it
        context.shared.clear()  # the row may have broken the system
        reason = str(error) if isinstance(error, StandfastError) else f"{type(error).__name__}: {error}"
        return failed(row, reason, context.peers, others.cores(), time.monotonic() - began)
    return judged(row, measurement, context.peers, others.cores(), time.monotonic() - began)


def _named(row: Row, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: tell(f"{row.name}: {line}")
