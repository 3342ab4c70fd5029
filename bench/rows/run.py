"""One run through the rows: each measured and judged, whatever becomes of the others; nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker

from bench.background import BackgroundLoad
from bench.beside.conditions import system_described
from bench.beside.contenders import chosen as peers_named
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
    """Measures them one after the other, which takes three quarters of an hour, or ten minutes with `quick`.

    Raises UsageError and SetupError for peers that are not there, before anything is measured.
    """
    peers_named(peers)
    about = {
        "rows": "few kills, requests and rounds: for a look" if quick else "in full",
        "systems": _SYSTEMS,
        **system_described(settings),
    }
    resource_tracker.ensure_running()  # each comparison would start another, and end it before its time
    with workplace() as folder:
        shared = SharedSystem(settings, folder, quick)
        try:
            found = each(rows, lambda row: RowContext(shared, quick, peers, _named(row, tell)))
        finally:
            shared.clear()
    return Report(machine=machine(), settings=about, rows=found)


def each(rows: Sequence[Row], context_for: Callable[[Row], RowContext]) -> list[RowOutcome]:
    """What became of each row; one that cannot be measured says why, and the next one's turn comes."""
    found = []
    for number, row in enumerate(rows, 1):
        context = context_for(row)
        context.tell(f"{number} of {len(rows)}, {row.what}")
        found.append(_one(row, context))
        context.tell(f"{found[-1].measured}{found[-1].reason and f'; {found[-1].reason}'}")
    return found


def _one(row: Row, context: RowContext) -> RowOutcome:
    began, others = time.monotonic(), BackgroundLoad()
    try:
        found = row.measure(context)
    except Exception as error:  # noqa: BLE001 - one row that fails must not take an hour's other figures with it
        context.shared.clear()  # who knows what it left behind
        told = str(error) if isinstance(error, StandfastError) else f"{type(error).__name__}: {error}"
        return failed(row, told, context.peers, others.cores(), time.monotonic() - began)
    return judged(row, found, context.peers, others.cores(), time.monotonic() - began)


def _named(row: Row, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: tell(f"{row.name}: {line}")
