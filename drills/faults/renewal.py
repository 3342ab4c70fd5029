"""Renews the lease of a toxic from a thread of its own, as long as this process lives and the fault is wanted."""

from __future__ import annotations

import threading

import structlog

from standfast.core.errors import ClusterError
from standfast.core.network.toxics import LEASE_S, Question, ask

_EVERY_S = LEASE_S / 8
_log = structlog.get_logger()


class Renewal:
    """The renewal of one toxic, between `start` and `stop`. A proxy that was started again does not know the toxic."""

    def __init__(self, toxic_id: str) -> None:
        self._toxic_id = toxic_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"toxic-{toxic_id}", daemon=True)
        self.is_over = False

    def start(self) -> None:
        """Begins to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renews no more; returns after a renewal that is under way, so that the toxic can be removed after it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _renew(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self.is_over = ask(Question(renew=(self._toxic_id,))).seen(self._toxic_id) is None
            except ClusterError as error:  # it may be starting again
                _log.warning("a toxic could not be renewed", error=str(error))
            if self.is_over:
                return
