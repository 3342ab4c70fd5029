"""Which version of its model a service is to have, and which it has: one nursery a version, compared on every change.

Whatever was asked for, has loaded, failed or died in the meantime, `_compare` begins with what is true now: the version
that serves is the one that is wanted, or the wanted one is on its way, or the next try has its time. A nursery is ended
only when none of its processes lives, for they die with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from consumers.supervision.nursery_handle import NurseryHandle
from standfast.core.backoff import Backoff

_log = structlog.get_logger()
# Loading takes a processor for seconds, and what refuses a version now does so again until somebody mends it.
_REFUSED_AGAIN_S = 60.0


class Nurseries:
    """The nurseries of one service, on the running asyncio loop.

    Args:
        service: its name, for the log.
        make: a nursery that is to load that version, not started yet.
        births: how long what died is waited for; the caller says to it when all is well.
    """

    def __init__(self, service: str, make: Callable[[int], NurseryHandle], births: Backoff) -> None:
        self._service = service
        self._make = make
        self._births = births
        self._wanted: int | None = None
        self._last_good: int | None = None
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._stopped = False
        self.present: NurseryHandle | None = None
        self.next: NurseryHandle | None = None
        self.retiring: list[NurseryHandle] = []

    def want(self, version: int | None) -> bool:
        """This is the version that is active; None, that there is none, changes nothing. Whether it is another one."""
        if version is None or version == self._wanted:
            return False
        _log.info("another version is wanted", service=self._service, version=version, before=self._wanted)
        self._wanted = version
        self._rested(version)
        return True

    def loaded(self, nursery: NurseryHandle) -> None:
        """Its model is in memory: new processes are made by it."""
        if self.present is not None:
            self.retiring.append(self.present)
        self.present, self.next, self._last_good = nursery, None, nursery.version
        self._compare()

    def failed(self, nursery: NurseryHandle) -> float:
        """It is gone, with all its processes; returns in how many seconds its version is tried again, 0 for never."""
        if nursery in self.retiring:
            self.retiring.remove(nursery)
            return 0.0
        refused = nursery is self.next and self.present is not None
        self.present = None if nursery is self.present else self.present
        self.next = None if nursery is self.next else self.next
        delay = _REFUSED_AGAIN_S if refused else self._births.after_death()
        self._rest(nursery.version, delay)
        self._compare()
        return delay

    def give_up(self, nursery: NurseryHandle) -> None:
        """It makes no processes any more, though those that it made live: another one does, and replaces them in order.

        One that has made none is ended; `failed` follows.
        """
        if nursery is self.present:
            nursery.given_up = True
            self.retiring.append(nursery)
            self.present = None
            self._compare()
        elif nursery is self.next:
            nursery.kill()

    def end_unused(self) -> None:
        """Ends those of other versions that no process depends on any more."""
        for nursery in [one for one in self.retiring if not one.members]:
            self.retiring.remove(nursery)
            nursery.stop()

    def stop(self) -> None:
        """Ends all of them, and what lives of their processes with them."""
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
        if self.next is not None and self.next.version != goal:
            abandoned, self.next = self.next, None
            abandoned.stop()  # it has no processes yet: they are made by the present one only
        if self.next is not None or (self.present is not None and self.present.version == goal):
            return
        there = next((one for one in self.retiring if one.version == goal and not one.given_up), None)
        if there is not None:  # it is in memory still, and may have most of the workers
            self.retiring.remove(there)
            self.retiring += [self.present] if self.present is not None else []
            self.present, self._last_good = there, goal
        else:
            self._start(goal)

    def _goal(self) -> int | None:
        """The version to go for: the wanted one, unless it rests; then that which serves, or served last."""
        here = self.present.version if self.present is not None else self._last_good
        return next((one for one in (self._wanted, here) if one is not None and one not in self._resting), None)

    def _start(self, version: int) -> None:
        self.next = self._make(version)
        try:
            self.next.start()
        except OSError as error:
            _log.error("a nursery cannot be started", service=self._service, version=version, error=str(error))
            self.next = None
            self._rest(version, self._births.after_death())

    def _rest(self, version: int, seconds: float) -> None:
        if not self._stopped:
            self._resting[version] = asyncio.get_running_loop().call_later(seconds, self._rested, version)

    def _rested(self, version: int) -> None:
        if (timer := self._resting.pop(version, None)) is not None:
            timer.cancel()
        self._compare()
