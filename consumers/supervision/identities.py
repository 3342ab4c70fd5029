"""A service's identities (`search-0`, …), which of them are vacant, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from standfast.core.backoff import Backoff

# Only a worker that dies sooner after its takeover is in a crash loop. With 3 s, workers that were killed every 2.5 s
# and had served well were kept from starting for up to 8 s: their sessions expired, and a slow machine answered nothing
# for 43 s. A loop of longer lives costs a start a second, 60 ms of a core: less than a wait costs callers.
_SHORT_LIFE_S = 1.0


class WorkerIdentities:
    """All identities of one service; each is vacant, without a process that serves under it, at first."""

    def __init__(self, identities: Iterable[str]) -> None:
        self._vacant: dict[str, float] = {}
        self._restarts: dict[str, int] = {}
        self._backoff: dict[str, Backoff] = {}
        for identity in identities:
            self.add(identity)

    def __iter__(self) -> Iterator[str]:
        return iter(self._restarts)

    def __len__(self) -> int:
        return len(self._restarts)

    def add(self, identity: str) -> None:
        """Adds an identity, which is vacant."""
        self._vacant[identity] = time.monotonic()
        self._restarts[identity] = 0
        self._backoff[identity] = Backoff(deaths=5, within_s=60.0)

    def remove(self, identity: str) -> None:
        """Removes an identity, vacant or not."""
        self._vacant.pop(identity, None)
        del self._restarts[identity], self._backoff[identity]

    @property
    def vacant(self) -> list[str]:
        """The identities without a process."""
        return list(self._vacant)

    def takeable(self) -> list[str]:
        """The identities that a standby may take over now: vacant, and not in the back-off of a crash loop."""
        return [identity for identity in self._vacant if not self.backs_off(identity)]

    def vacate(self, identity: str, lived_s: float) -> float:
        """Marks an identity as vacant; returns the seconds until it may be taken over, 0 for at once.

        Args:
            lived_s: how long after its takeover its process ended.
        """
        self._vacant[identity] = time.monotonic()
        self._restarts[identity] += 1
        if lived_s > _SHORT_LIFE_S:
            self._backoff[identity].forget()
        return self._backoff[identity].after_death()

    def occupy(self, identity: str) -> float:
        """Marks a vacant identity as taken over; returns since when it was vacant (monotonic seconds)."""
        return self._vacant.pop(identity)

    def backs_off(self, identity: str) -> bool:
        """Whether the next worker under this identity waits, because its workers died one after another."""
        return self._backoff[identity].is_waiting

    def restarts(self, identity: str | None) -> int:
        """How often a process of this identity has ended; 0 for None, which a standby has."""
        return self._restarts[identity] if identity is not None else 0
