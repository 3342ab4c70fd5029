"""What a run saw: one duration for each request, and how long all of them took."""

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
        """Answers a second over the whole run."""
        return len(self.seconds) / self.elapsed

    def ms(self, share: float, without: Collection[int] = ()) -> float:
        """That quantile of the durations in milliseconds, the requests at the places `without` left out."""
        kept = [one for place, one in enumerate(self.seconds) if place not in without] if without else self.seconds
        return quantile(kept, share) * 1000
