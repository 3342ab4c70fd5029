"""One worker's load, measured over a second, for the rule that adds and removes workers (`supervision.scaling`)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from consumers.channel.messages import LoadReport
from consumers.commit.work import TopicPartitionKey
from consumers.serving.partition_reader import PartitionReader


class Meter:
    """Adds up batches from one report to the next."""

    def __init__(self) -> None:
        self._begin()

    def took(self, records: int, refused: int, seconds: float) -> None:
        """Counts one batch: its records, those of them that were refused as too late, and the seconds it took."""
        self._answered += records
        self._refused += refused
        self._busy_s += seconds

    def load(self, reader: PartitionReader, lags: Mapping[TopicPartitionKey, int]) -> LoadReport:
        """The load since the last report; begins the next one."""
        over_s = max(time.monotonic() - self._since, 1e-3)
        oldest_ms = reader.waiting[0].timestamp_ms if reader.waiting else time.time() * 1000
        report = LoadReport(
            partitions=len(reader.owned),
            waiting=sum(lags.values()) if len(lags) == len(reader.owned) else None,
            oldest_s=max(0.0, time.time() - oldest_ms / 1000),
            answered=self._answered,
            refused=self._refused,
            busy_s=min(self._busy_s, over_s),
            over_s=over_s,
        )
        self._begin()
        return report

    def _begin(self) -> None:
        self._since = time.monotonic()
        self._answered = self._refused = 0
        self._busy_s = 0.0
