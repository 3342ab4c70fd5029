"""The requests of a history as columns of numbers, for what would take too long request by request."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

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
        partition=_ints(request.partition for request in requests),
        offset=_ints(request.offset for request in requests),
        due=_floats(request.due for request in requests),
        invoked=_floats(request.invoked for request in requests),
        at=_floats(answer.at for answer in firsts),
        answer_partition=_ints(answer.partition for answer in firsts),
        answer_offset=_ints(answer.offset for answer in firsts),
        worker=np.array(worker, dtype=np.int64),
        items=_ints(answer.items for answer in firsts),
        k=_ints(request.k for request in requests),
        is_acked=_flags(request.sent == "acked" for request in requests),
        is_ok=_flags(answer.status == "ok" for answer in firsts),
        is_single=_flags(len(request.answers) == 1 and not request.copies for request in requests),
        workers=list(codes),
    )


def _first(request: Request) -> Sighting:
    answers = request.answers
    return answers[0] if len(answers) == 1 else min(answers, key=lambda answer: answer.at, default=_NONE)


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.fromiter(values, dtype=np.float64)


def _flags(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=np.bool_)
