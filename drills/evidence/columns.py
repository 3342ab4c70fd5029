"""The requests of a history as columns of numbers, for what would take too long request by request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from drills.evidence.history import History, Request, Sighting

_NONE = Sighting(math.nan, -1, -1, "")


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """One value for each request, in the order of the history; what is of its answer, of the first that was seen.

    `at` is nan without an answer. `worker` numbers `workers`. `latency_us` is in microseconds, 0 without an answer.
    """

    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    due: NDArray[np.float64]
    invoked: NDArray[np.float64]
    at: NDArray[np.float64]
    answer_partition: NDArray[np.int64]
    answer_offset: NDArray[np.int64]
    worker: NDArray[np.int64]
    items: NDArray[np.int64]
    k: NDArray[np.int64]
    is_acked: NDArray[np.bool_]
    is_ok: NDArray[np.bool_]
    is_single: NDArray[np.bool_]  # one answer, and one record at `offset`
    workers: list[str]

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Which have an answer."""
        return ~np.isnan(self.at)

    @property
    def latency_us(self) -> NDArray[np.int64]:
        """From when each was due to its answer."""
        return np.rint(np.where(self.is_answered, self.at - self.due, 0.0) * 1e6).astype(np.int64)


def columns(history: History) -> RequestColumns:
    """The columns of a history."""
    requests = history.requests
    firsts = [_first(request) for request in requests]
    codes: dict[str, int] = {}
    worker = [codes.setdefault(answer.worker, len(codes)) for answer in firsts]
    return RequestColumns(
        partition=_ints("partition", requests),
        offset=_ints("offset", requests),
        due=_floats("due", requests),
        invoked=_floats("invoked", requests),
        at=_floats("at", firsts),
        answer_partition=_ints("partition", firsts),
        answer_offset=_ints("offset", firsts),
        worker=np.array(worker, dtype=np.int64),
        items=_ints("items", firsts),
        k=_ints("k", requests),
        is_acked=_equal("sent", "acked", requests),
        is_ok=_equal("status", "ok", firsts),
        is_single=np.array([len(request.answers) == 1 and not request.copies for request in requests], dtype=np.bool_),
        workers=list(codes),
    )


def _first(request: Request) -> Sighting:
    answers = request.answers
    return answers[0] if len(answers) == 1 else min(answers, key=lambda answer: answer.at, default=_NONE)


def _ints(name: str, rows: Sequence[Request] | Sequence[Sighting]) -> NDArray[np.int64]:
    return np.fromiter(map(attrgetter(name), rows), dtype=np.int64, count=len(rows))


def _floats(name: str, rows: Sequence[Request] | Sequence[Sighting]) -> NDArray[np.float64]:
    return np.fromiter(map(attrgetter(name), rows), dtype=np.float64, count=len(rows))


def _equal(name: str, text: str, rows: Sequence[Request] | Sequence[Sighting]) -> NDArray[np.bool_]:
    return np.fromiter(map(text.__eq__, map(attrgetter(name), rows)), dtype=np.bool_, count=len(rows))
