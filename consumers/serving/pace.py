"""How fast a worker is at present, and how many records its next batch may have."""

from __future__ import annotations

from consumers.service import Service

# Bounds how long an interactive request waits that comes while bulk ones are computed.
_BULK_BATCH_S = 0.02
# With `newest_first` and no `max_wait_ms`, this is how long a request may wait before newer ones are preferred to it.
_NEWEST_WAIT_S = 0.5
_WEIGHT = 0.2  # of the newest batch in the moving averages
# Four mean deviations, like TCP's retransmission timer (Jacobson 1988): with a backlog every answer comes close to its
# deadline, and an estimate that is right on average would make half of them late.
_DEVIATIONS = 4
# A batch takes at most this share of the time that its requests have; with all of it no request could wait and still be
# in time. On a slow machine, with batches of 0.45 s and deadlines of 1 s, two thirds of the requests that could have
# been computed were refused as too late.
_SHARE = 0.5
_FORGETS = 0.9  # of the estimate is left after each batch that was refused as a whole


class Pace:
    """Moving averages of a record's cost, and of what its batch takes beside that from being picked to its commit.

    The latter is kept with its mean deviation, because it varies with Kafka and with the processor's other load.
    """

    def __init__(self, service: Service) -> None:
        self._batch = service.batch
        self._wait_s = service.max_wait_ms / 1000 or _NEWEST_WAIT_S
        self._per_record_s = 0.0
        self._beside_s = 0.0
        self._deviation_s = 0.0
        self._answers_seen = False

    def took(self, computed: int, seconds: float) -> None:
        """Learns from one batch how many seconds of the worker its computed records took.

        After a batch that was refused as a whole the estimate of what a batch takes shrinks by a tenth. Otherwise a
        single stall of a second would have all requests refused for as long as there are more than can be computed: no
        batch would be computed to learn from.
        """
        if not computed:
            self._beside_s *= _FORGETS
            self._deviation_s *= _FORGETS
            return
        per_record_s = seconds / computed
        self._per_record_s += _WEIGHT * (per_record_s - self._per_record_s) if self._per_record_s else per_record_s

    def answered(self, computed: int, seconds: float, *, drained: bool = False) -> None:
        """Learns from one batch how many seconds it took from being picked to its commit.

        One with no more waiting (`drained`) is no measure of a backlog, but shows that a stall is over. After a
        rebalance that had stopped commits for 2 s, a drill saw requests refused for 10 s as too late for their
        deadline of 2 s, which were answered in 0.1 s whenever nothing else waited.
        """
        if not computed:
            return
        beside = max(0.0, seconds - computed * self._per_record_s)
        if drained and beside >= self._beside_s:
            return
        if not self._answers_seen:
            self._answers_seen, self._beside_s, self._deviation_s = True, beside, seconds / _DEVIATIONS
            return
        error = beside - self._beside_s
        self._beside_s += _WEIGHT * error
        self._deviation_s += _WEIGHT * (abs(error) - self._deviation_s)

    def next_batch(self, waiting: int, allowance_ms: float | None) -> tuple[int, float]:
        """The most records to compute next, and how many milliseconds they take until they are committed.

        0 ms where no more are waiting: refusing some would then help no others.

        Args:
            allowance_ms: how long requests may take from being sent to being answered; None: no limit.
        """
        beside_s = self._beside_s + _DEVIATIONS * self._deviation_s
        records = self._batch
        if allowance_ms is not None and self._per_record_s:
            fit = int((allowance_ms / 1000 * _SHARE - beside_s) / self._per_record_s)
            records = min(self._batch, max(1, fit))
        return records, (beside_s + records * self._per_record_s) * 1000 if waiting > records else 0.0

    @property
    def keep(self) -> int:
        """How many records can be computed before the last of them has waited too long; a batch at least."""
        if not self._per_record_s:
            return self._batch
        return max(self._batch, int(self._wait_s / self._per_record_s))

    @property
    def bulk(self) -> int:
        """The most records of a bulk batch: as many as take 20 ms."""
        if not self._per_record_s:
            return 1
        return min(self._batch, max(1, int(_BULK_BATCH_S / self._per_record_s)))
