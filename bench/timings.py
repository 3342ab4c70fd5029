"""The timings of one run: the latency of each request, and the duration of the run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from bench.figures import quantile


@dataclass(slots=True)
class Timings:
    """`seconds` of each request, in the order they were sent; `elapsed` from the first sent to the last answered."""

    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    not_ok: int = 0
    doubled: int = 0

    @property
    def per_second(self) -> float:
        """Answers per second over the whole run."""
        return len(self.seconds) / self.elapsed

    def ms(self, share: float, without: Collection[int] = ()) -> float:
        """A quantile of the latencies in milliseconds, without the requests at the indices `without`."""
        kept = [s for index, s in enumerate(self.seconds) if index not in without] if without else self.seconds
        return quantile(kept, share) * 1000
