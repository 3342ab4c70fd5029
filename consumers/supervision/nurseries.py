"""Brings the wanted version of a service's model into memory: one nursery per version, compared on every change.

After each change (a version is wanted, has loaded, failed or died) `_compare` looks at the present state: the wanted
version serves, or its nursery is loading, or a timer is set for the next try. A nursery that dies or hangs leaves its
processes, which serve until those of its successor take over. Where the wanted version cannot be loaded and no other
is in memory, the last one that served before it does.

A champion with a challenger is one more version to be loaded, both by one nursery; if that fails, the champion is
loaded alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from consumers.supervision.nursery_handle import NurseryHandle
from models.canary import Versions
from standfast.core.backoff import Backoff

_log = structlog.get_logger()
# Loading takes a processor for seconds, and a version that cannot be loaded now fails again until it is repaired.
_REFUSED_AGAIN_S = 60.0


class Nurseries:
    """The nurseries of one service, on the running asyncio loop.

    Args:
        service: its name, for the log.
        make: makes the nursery of a version, not started yet.
        start_backoff: how long to wait before a nursery that died is started again; the caller resets it.
        served_before: the versions that served before this one, the last one first.
    """

    def __init__(
        self,
        service: str,
        make: Callable[[Versions], NurseryHandle],
        start_backoff: Backoff,
        served_before: Callable[[int], list[int]],
    ) -> None:
        self._service = service
        self._make = make
        self._start_backoff = start_backoff
        self._served_before = served_before
        self._refused: set[Versions] = set()
        self.wanted: Versions | None = None
        self._last_good: Versions | None = None
        self._resting: dict[Versions, asyncio.TimerHandle] = {}
        self._stopped = False
        self.present: NurseryHandle | None = None
        self.next: NurseryHandle | None = None
        self.retiring: list[NurseryHandle] = []

    def want(self, versions: Versions) -> bool:
        """Sets the wanted version, and the challenger's. Returns whether these are others than before."""
        if versions == self.wanted:
            return False
        before = None if self.wanted is None else str(self.wanted)
        _log.info("another version is wanted", service=self._service, version=str(versions), before=before)
        self.wanted = versions
        self._refused.discard(versions)
        self._rested(versions)
        return True

    def loaded(self, nursery: NurseryHandle) -> None:
        """The nursery's model is in memory: it makes all new processes from now on."""
        if self.present is not None:
            self.retiring.append(self.present)
        self.present, self.next, self._last_good = nursery, None, nursery.versions
        self._refused.discard(nursery.versions)
        self._compare()

    def failed(self, nursery: NurseryHandle) -> float:
        """The nursery has ended; returns the seconds until its version is tried again, 0: never.

        A version that failed to load while another one serves, or can be tried, is tried again after 60 s.
        """
        nursery.given_up = True
        if nursery in self.retiring:
            self.end_unused()
            return 0.0
        refused = nursery is self.next and self.present is not None
        # One that died while it loaded two models may have run out of memory: the champion alone may have enough.
        cannot_load = nursery.refused or (nursery is self.next and nursery.versions.challenger is not None)
        if nursery is self.present:
            self.present = None
            self.retiring += [nursery] if nursery.members else []
        self.next = None if nursery is self.next else self.next
        if cannot_load:
            self._refused.add(nursery.versions)
        refused = refused or (cannot_load and bool(self._stand_ins()))
        delay = _REFUSED_AGAIN_S if refused else self._start_backoff.after_death()
        self._rest(nursery.versions, delay)
        self._compare()
        return delay

    def give_up(self, nursery: NurseryHandle) -> None:
        """Replaces a nursery that hangs. Its processes live on until those of its successor take over.

        A nursery that has made no process yet is killed; `failed` follows.
        """
        if nursery is self.present:
            nursery.given_up = True
            self.retiring.append(nursery)
            self.present = None
            self._compare()
        elif nursery is self.next:
            nursery.kill()

    def end_unused(self) -> None:
        """Ends the retiring nurseries that have no processes any more."""
        for nursery in [nursery for nursery in self.retiring if not nursery.members]:
            self.retiring.remove(nursery)
            nursery.stop()

    def stop(self) -> None:
        """Ends all nurseries, and with them their processes that still live."""
        self._stopped = True
        for timer in self._resting.values():
            timer.cancel()
        for nursery in (self.present, self.next, *self.retiring):
            if nursery is not None:
                nursery.stop()

    def _compare(self) -> None:
        goal = self._goal()
        if self._stopped or goal is None:
            return
        if self.next is not None and self.next.versions != goal:
            abandoned, self.next = self.next, None
            abandoned.stop()  # it has no processes: only the present nursery makes any
        if self.next is not None or (self.present is not None and self.present.versions == goal):
            return
        loaded = next((nursery for nursery in self.retiring if nursery.versions == goal and not nursery.given_up), None)
        if loaded is not None:  # its model is still in memory, and it may have most of the workers
            self.retiring.remove(loaded)
            self.retiring += [self.present] if self.present is not None else []
            self.present, self._last_good = loaded, goal
        else:
            self._start(goal)

    def _goal(self) -> Versions | None:
        """The version to serve: the wanted one, unless its retry is still due; then the one that serves or served last.

        If nothing is in memory and the wanted one was refused, one that served before it. None if all wait for a retry.
        """
        current = self.present.versions if self.present is not None else self._last_good
        candidates = (self.wanted, current, *self._stand_ins())
        return next((versions for versions in candidates if versions and versions not in self._resting), None)

    def _stand_ins(self) -> list[Versions]:
        """The versions that may serve in place of the wanted one, the best first, without those refused too."""
        if self.present is not None or self.wanted is None or self.wanted not in self._refused:
            return []
        alone = Versions(self.wanted.champion)
        earlier = [Versions(version) for version in self._served_before(self.wanted.champion)]
        return [versions for versions in (alone, *earlier) if versions not in self._refused]

    def _start(self, versions: Versions) -> None:
        self.next = self._make(versions)
        try:
            self.next.start()
        except OSError as error:
            _log.error("a nursery cannot be started", service=self._service, version=str(versions), error=str(error))
            self.next = None
            self._rest(versions, self._start_backoff.after_death())

    def _rest(self, versions: Versions, seconds: float) -> None:
        if not self._stopped:
            self._resting[versions] = asyncio.get_running_loop().call_later(seconds, self._rested, versions)

    def _rested(self, versions: Versions) -> None:
        if (timer := self._resting.pop(versions, None)) is not None:
            timer.cancel()
        self._compare()
