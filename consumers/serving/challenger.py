"""A challenger's answers, and where it has none: whatever it does, the champion can still answer.

A batch on which it fails is computed in halves where memory ran out; else its first requests are computed one by one,
to tell a bad request from a bad model, up to the first that fails alone. Then the challenger rests for a second, so
that one that fails slowly on everything costs its callers one failure a second at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from consumers.serving.breaker import NotComputed, Outcome
from consumers.serving.output_guard import OutputGuard
from consumers.serving.side_by_side import SideBySide
from models.base import Query
from models.kernels.failures import in_halves
from schemas.records import Item
from standfast.core import telemetry

_log = structlog.get_logger()
_REST_S = 1.0
_ALONE = 4  # requests of a failed batch that are tried alone, at most
_RESTS = NotComputed("overloaded", "the challenger was not asked")


class Challenger:
    """Never raises: a request is answered, `invalid` if the challenger failed on it alone, or `overloaded`: not tried.

    Args:
        model: with the methods of `models.base.Model`.
        mark: called with True before it computes, and with False afterwards: it may kill the process.
    """

    def __init__(
        self,
        model: Any,
        service: str,
        seen: SideBySide,
        mark: Callable[[bool], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._service = service
        self._guard = OutputGuard(service, model)
        self._seen = seen
        self._mark = mark
        self._clock = clock
        self._rests_until = 0.0

    def ask(self, queries: Sequence[Query]) -> list[Outcome]:
        """One outcome for each query, in their order."""
        if self._clock() < self._rests_until:
            return [_RESTS] * len(queries)
        self._mark(True)
        try:
            return list(self._predicted(queries))
        except Exception as error:  # noqa: BLE001 - whatever a challenger raises, the champion answers
            return [self._failed(error)] if len(queries) == 1 else self._one_by_one(queries)
        finally:
            self._mark(False)

    def _predicted(self, queries: Sequence[Query]) -> list[list[Item]]:
        scored: list[list[Item]] = in_halves(self._model.predict, queries, self._ran_out)
        if len(scored) != len(queries):
            raise ValueError(f"the model gave {len(scored)} answers to {len(queries)} requests")
        self._guard.check(queries, scored)
        self._seen.computed(len(queries))
        return scored

    def _one_by_one(self, queries: Sequence[Query]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for query in queries[:_ALONE]:
            try:
                outcomes += self._predicted([query])
            except Exception as error:  # noqa: BLE001 - as above
                outcomes.append(self._failed(error))
                break
        return outcomes + [_RESTS] * (len(queries) - len(outcomes))

    def _failed(self, error: Exception) -> NotComputed:
        self._rests_until = self._clock() + _REST_S
        reason = f"{type(error).__name__}: {error}"[:300]
        _log.warning(
            "the challenger failed on a request; the champion answers it", model=self._model.label, error=reason
        )
        return NotComputed("invalid", reason)

    def _ran_out(self, size: int) -> None:
        telemetry.OUT_OF_MEMORY.labels(self._service).inc()
        _log.warning("a batch does not fit into memory; it is computed in halves", model=self._model.label, size=size)
