"""A circuit breaker around a model: a bad request fails alone, and a model that always fails is asked once a second.

A batch fails because of a request in it, or because of the model. To tell which, the last query that was answered is
asked again. If it is answered, the requests are asked one by one, and those that fail are to blame. If not, no request
is to blame, and the breaker opens at once. A process that has not answered anything yet has no such query: its breaker
opens when `_BATCHES` batches in a row have failed as a whole, over at least `_WHOLE_S` seconds.

While the breaker is open, requests are refused at once, and one batch every `_TRIAL_S` is tried; an answer closes it.

A batch that does not fit into memory is computed in halves. An answer that no caller may see counts as a failure
(`output_guard`). A device that fails on the comparison too is lost until the process ends, which it does then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from consumers.serving.output_guard import OutputGuard
from models.base import Model, Query
from models.kernels.failures import in_halves, is_of_device
from schemas.records import Item
from standfast.core import telemetry
from standfast.core.errors import DeviceLost

_log = structlog.get_logger()
_BATCHES, _WHOLE_S = 5, 3.0
_TRIAL_S = 1.0
# A model that has answered nothing so far gets all requests of its first failed batch one by one, and this many of each
# further one, not all 256.
_ALONE = 4


@dataclass(frozen=True, slots=True)
class NotComputed:
    """Why there are no scores: the model failed on this request (`invalid`), or fails on all (`overloaded`)."""

    status: Literal["invalid", "overloaded"]
    reason: str


Outcome = list[Item] | NotComputed
Ask = Callable[[Sequence[Query]], list[Outcome]]


class Breaker:
    """Gives an outcome for every query, whatever the model raises. Raises DeviceLost when only a new process can.

    Args:
        tell: called with the reason when the breaker opens, and with "" when it closes.
    """

    def __init__(
        self,
        model: Model[Any],
        service: str,
        tell: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._service = service
        self._guard = OutputGuard(service, model)
        self._tell = tell
        self._clock = clock
        self._answered: Query | None = None
        self._failed_batches = 0
        self._failed_since = 0.0
        self._since_when = ""
        self._reason = ""
        self._is_open = False
        self._trial_at = 0.0

    def ask(self, queries: Sequence[Query]) -> list[Outcome]:
        """One outcome for each query, in their order."""
        if self._is_open and self._clock() < self._trial_at:
            return self._refused(queries)
        try:
            return self._predicted(queries)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, each request gets an answer
            return self._after(error, queries)

    def _predicted(self, queries: Sequence[Query]) -> list[Outcome]:
        scored = in_halves(self._model.predict, queries, self._ran_out)
        if len(scored) != len(queries):
            raise ValueError(f"the model gave {len(scored)} answers to {len(queries)} requests")
        self._guard.check(queries, scored)
        self._succeeded(queries[-1])
        return list(scored)

    def _ran_out(self, size: int) -> None:
        telemetry.OUT_OF_MEMORY.labels(self._service).inc()
        _log.warning("a batch does not fit into memory; it is computed in halves", model=self._model.label, size=size)

    def _after(self, error: Exception, queries: Sequence[Query]) -> list[Outcome]:
        self._failed(error)
        if self._answered is not None and self._answers_again(self._answered):
            return self._one_by_one(error, queries)
        if is_of_device(error):
            raise DeviceLost(f"the device of {self._model.label} is lost to this process: {_shown(error)}") from error
        if self._answered is None:
            return self._without_comparison(error, queries)
        self._open()
        return self._refused(queries)

    def _answers_again(self, query: Query) -> bool:
        try:
            self._predicted([query])
        except Exception:  # noqa: BLE001 - that is the answer
            return False
        return True

    def _one_by_one(self, error: Exception, queries: Sequence[Query]) -> list[Outcome]:
        return [_blamed(error)] if len(queries) == 1 else [self._alone(query) for query in queries]

    def _alone(self, query: Query) -> Outcome:
        try:
            return self._predicted([query])[0]
        except Exception as error:  # noqa: BLE001 - as in `ask`
            return _blamed(error)

    def _without_comparison(self, error: Exception, queries: Sequence[Query]) -> list[Outcome]:
        """Blames only requests that were asked alone, and none once the breaker is open."""
        alone = len(queries) if self._failed_batches == 1 else _ALONE
        outcomes = self._one_by_one(error, queries[:alone])
        if self._answered is not None:
            return outcomes + [self._alone(query) for query in queries[alone:]]
        if self._failed_batches >= _BATCHES and self._clock() - self._failed_since >= _WHOLE_S:
            self._open()
        return self._refused(queries) if self._is_open else outcomes + self._refused(queries[alone:])

    def _refused(self, queries: Sequence[Query]) -> list[Outcome]:
        return [NotComputed("overloaded", self._reason)] * len(queries)

    def _failed(self, error: Exception) -> None:
        if not self._failed_batches:
            self._failed_since = self._clock()
            self._since_when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        self._failed_batches += 1
        self._reason = (
            f"the model {self._model.label} has failed on every request since {self._since_when}, last with "
            f"{_shown(error)}; send it again later (operators: `standfast models rollback {self._service}`)"
        )

    def _succeeded(self, answered: Query) -> None:
        self._answered, self._failed_batches = answered, 0
        if self._is_open:
            self._is_open = False
            _log.info("the model answers again; the breaker is closed", model=self._model.label)
            self._tell("")

    def _open(self) -> None:
        self._trial_at = self._clock() + _TRIAL_S
        if not self._is_open:
            self._is_open = True
            _log.error("the breaker is open", model=self._model.label, reason=self._reason)
            self._tell(self._reason)


def _blamed(error: Exception) -> NotComputed:
    _log.warning("the model failed on a request", error=_shown(error))
    return NotComputed("invalid", f"the model failed on it: {type(error).__name__}: {error}")


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
