"""How fast a worker is just now, and what follows from it for the next batch."""

from __future__ import annotations

from consumers.service import Service

# An interactive request that comes while bulk ones are computed waits no longer than about this.
_BULK_BATCH_S = 0.02
# With `newest_first` and no `max_wait_ms`, this is how long a request may wait before newer ones are preferred to it.
_NEWEST_WAIT_S = 0.5
_WEIGHT = 0.2


class Pace:
    """Moving averages of what a record of a batch costs, and of the time from picking a batch to its committed answers.

    The latter with its mean deviation, as TCP estimates round trips (Jacobson 1988): with a backlog every answer comes
    close to its deadline, and an estimate that is right on average would make half of them late.
    """

    def __init__(self, service: Service) -> None:
        self._batch = service.batch
        self._wait_s = service.max_wait_ms / 1000 or _NEWEST_WAIT_S
        self._per_record_s = 0.0
        self._answer_s = 0.0
        self._deviation_s = 0.0

    def took(self, records: int, seconds: float) -> None:
        """Learns from one batch what it keeps the worker from."""
        seen = seconds / records
        self._per_record_s += _WEIGHT * (seen - self._per_record_s) if self._per_record_s else seen

    def answered(self, seconds: float) -> None:
        """Learns from one batch of a backlog how long it took from being picked to being committed."""
        if not self._answer_s:
            self._answer_s, self._deviation_s = seconds, seconds / 4
            return
        error = seconds - self._answer_s
        self._answer_s += _WEIGHT * error
        self._deviation_s += _WEIGHT * (abs(error) - self._deviation_s)

    def ahead_ms(self, waiting: int) -> float:
        """How long the next batch may take; 0 without a backlog, when there is nothing to be gained by refusing."""
        return (self._answer_s + 4 * self._deviation_s) * 1000 if waiting > self._batch else 0.0

    @property
    def keep(self) -> int:
        """The most records that can be computed before the last of them has waited too long; a batch at least."""
        if not self._per_record_s:
            return self._batch
        return max(self._batch, int(self._wait_s / self._per_record_s))

    @property
    def bulk(self) -> int:
        """Bulk records that make a short batch."""
        if not self._per_record_s:
            return 1
        return min(self._batch, max(1, int(_BULK_BATCH_S / self._per_record_s)))
