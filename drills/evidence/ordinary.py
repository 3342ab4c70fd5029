"""A long history made short for a report: requests with nothing to tell are counted, all others stay as they are.

Ordinary is a request that Kafka acknowledged and that got exactly one answer, ok, with the right number of products and
in order, unless something hangs on it: it got the first answer of a partition after a fault, or was sent last. Of the
ordinary ones remain how many there were in each window and their latencies, to the microsecond. So every figure of
`checker.measure` is the same as that of the whole history. That the ordinary requests were ordinary is what the short
history does not prove; `digest` names the file of the whole one.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from drills.evidence.checker import Counted, Measured, measure, over_at, records_answered
from drills.evidence.columns import RequestColumns
from drills.evidence.history import History
from drills.evidence.packed_numbers import Ints, PackedInts, pack_ints, unpack_ints
from drills.evidence.recovery import Recoveries

WINDOWS = ("before", "during", "after")


class Latencies(Struct, frozen=True):
    """Latencies in microseconds, each with how often it occurred."""

    us: PackedInts
    counts: PackedInts


class Ordinary(Struct, frozen=True):
    """The ordinary requests, by window.

    `compared`: how many answers were compared with their requests. `digest`: SHA-256 of the file of the whole history.
    """

    windows: dict[str, Latencies]
    compared: int
    digest: str = ""


def shortened(history: History, seen: RequestColumns, drawn: Ints | None = None) -> tuple[History, Ordinary]:
    """The history without its ordinary requests, and these.

    Args:
        history: all of it.
        seen: its columns.
        drawn: the indexes of requests that stay in any case.
    """
    stays = ~_is_usual(seen) | _is_out_of_order(history, seen)
    decides = _deciding(history, seen)
    for indexes in (decides, drawn if drawn is not None else decides):
        stays[indexes] = True
    short = msgspec.structs.replace(history, requests=tuple(history.requests[index] for index in np.flatnonzero(stays)))
    window, latency_us = _window(history, short, seen), seen.latency_us
    windows = {name: _latencies(latency_us[~stays & (window == number)]) for number, name in enumerate(WINDOWS)}
    compared = int((~stays & (seen.k > 0) & (seen.items >= 0)).sum())
    return short, Ordinary(windows, compared)


def measured_with(history: History, ordinary: Ordinary) -> Measured:
    """The figures of both together; raises ValueError for what `shortened` did not make."""
    counted = {name: latencies_ms(ordinary, name) for name in WINDOWS}
    return measure(history, Counted(counted["before"], counted["during"], counted["after"], ordinary.compared))


def latencies_ms(ordinary: Ordinary, window: str) -> list[float]:
    """The latencies of one window in milliseconds, ascending."""
    latencies = ordinary.windows[window]
    us: list[float] = (np.repeat(unpack_ints(latencies.us), unpack_ints(latencies.counts)) / 1000).tolist()
    return us


def _latencies(us: Ints) -> Latencies:
    values, counts = np.unique(us, return_counts=True)
    return Latencies(pack_ints(values), pack_ints(counts))


def _is_usual(seen: RequestColumns) -> NDArray[np.bool_]:
    """Which are as requests should be, each by itself."""
    is_right = (seen.items == seen.k) | (seen.k == 0) | (seen.items < 0)
    return np.asarray(seen.is_acked & seen.is_single & seen.is_ok & is_right & (seen.offset >= 0))


def _is_out_of_order(history: History, seen: RequestColumns) -> NDArray[np.bool_]:
    """Which were answered after a later request of their partition, and those later ones."""
    index, offset, partition, answer = _pairs(history, seen)
    order = np.lexsort((offset, answer, partition, seen.partition[index]))
    index, offset = index[order], offset[order]
    found = np.zeros(len(seen.at), dtype=np.bool_)
    group = np.stack([seen.partition[index], partition[order]])
    starts = np.flatnonzero(np.any(np.diff(group, axis=1) != 0, axis=0)) + 1
    for places in np.split(np.arange(len(index)), starts) if len(index) else ():
        furthest = np.maximum.accumulate(offset[places])
        late = offset[places] < furthest
        if late.any():
            found[index[places[late]]] = True
            found[index[places[np.searchsorted(furthest, furthest[late])]]] = True
    return found


def _pairs(history: History, seen: RequestColumns) -> tuple[Ints, Ints, Ints, Ints]:
    """Of each answer with its record: the request's index, the record's offset, the answer's partition and offset."""
    single = np.flatnonzero(seen.is_single & (seen.offset >= 0))
    rows = [
        (int(index), offset, answer.partition, answer.offset)
        for index in np.flatnonzero(~seen.is_single & seen.is_answered)
        for offset, answer in records_answered(history.requests[index])
    ]
    others = np.array(rows, dtype=np.int64).reshape(-1, 4)
    columns_of_single = (single, seen.offset[single], seen.answer_partition[single], seen.answer_offset[single])
    index, offset, partition, answer = (
        np.concatenate([column, others[:, number]]) for number, column in enumerate(columns_of_single)
    )
    return index, offset, partition, answer


def _deciding(history: History, seen: RequestColumns) -> Ints:
    """The request sent last, and of each partition the first answer to a request sent after each fault."""
    if not len(seen.at):
        return np.zeros(0, dtype=np.int64)
    found = [int(seen.invoked.argmax())]
    for fault in history.faults:
        for partition in fault.partitions:
            later = np.flatnonzero((seen.partition == partition) & (seen.invoked >= fault.at) & seen.is_answered)
            if len(later):
                found.append(int(later[seen.at[later].argmin()]))
    return np.array(found, dtype=np.int64)


def _window(history: History, short: History, seen: RequestColumns) -> NDArray[np.int64]:
    """The window of each request, as `checker.split` has it; the short history has the same bounds."""
    first_fault_at = min((fault.at for fault in history.faults), default=math.inf)
    recoveries = Recoveries(short)
    over = over_at(short, [recoveries.recovered_at(fault) for fault in short.faults])
    after = seen.invoked > (math.inf if over is None else over)
    return np.where(seen.at <= first_fault_at, 0, np.where(after, 2, 1))
