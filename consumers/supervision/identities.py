"""Which of a service's identities (`search-0`, …) there are, which have nobody to serve under them, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from standfast.core.backoff import Backoff

# Only workers that die soon after they took over are in a crash loop; one killed now and then is not.
_SHORT_LIFE_S = 3.0


class WorkerIdentities:
    """All identities of one service; each is vacant at first."""

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
        """There is one more, vacant."""
        self._vacant[identity] = time.monotonic()
        self._restarts[identity] = 0
        self._backoff[identity] = Backoff(deaths=5, within_s=60.0)

    def remove(self, identity: str) -> None:
        """There is one less."""
        self._vacant.pop(identity, None)
        del self._restarts[identity], self._backoff[identity]

    @property
    def vacant(self) -> list[str]:
        """Those that wait for a process."""
        return list(self._vacant)

    def takeable(self) -> list[str]:
        """Those that a standby may take over now: vacant, and not waiting for the end of a crash loop's back-off."""
        return [identity for identity in self._vacant if not self.backs_off(identity)]

    def vacate(self, identity: str, lived_s: float) -> float:
        """Its process ended after so long; returns the seconds until it may be taken over, 0 for at once."""
        self._vacant[identity] = time.monotonic()
        self._restarts[identity] += 1
        if lived_s > _SHORT_LIFE_S:
            self._backoff[identity].forget()
        return self._backoff[identity].after_death()

    def occupy(self, identity: str) -> float:
        """A process takes it over; returns since when (monotonic seconds) it was vacant."""
        return self._vacant.pop(identity)

    def backs_off(self, identity: str) -> bool:
        """Whether it is kept vacant because its workers keep dying."""
        return self._backoff[identity].is_waiting

    def restarts(self, identity: str | None) -> int:
        """How often its process has ended; 0 for None, a standby's."""
        return self._restarts[identity] if identity is not None else 0
