"""Undoing a fault: the undo is tried until it succeeds, then checked."""

from __future__ import annotations

import structlog

from drills.evidence.verdict import Finding
from drills.faults.injector import Injector
from schemas.records import Check

_log = structlog.get_logger()


class Undoing:
    """The undo of one fault. An exception in it becomes a finding, because the drill still needs its final event."""

    def __init__(self, injector: Injector, name: str) -> None:
        self._injector = injector
        self._name = name
        self._is_done = False
        self._last_logged = ""

    def undo(self) -> Finding | None:
        """Undoes the fault, unless that has succeeded before; returns None after a success, else the finding."""
        if not self._is_done:
            try:
                self._injector.undo()
            except Exception as error:  # noqa: BLE001 - after any error the undo is tried again
                return self._failed("failed", "the fault could not be taken away", error)
            self._is_done = True
        return None

    def undo_and_check(self) -> Finding:
        """Undoes the fault as `undo` does, then returns whether anything is left of it."""
        failed = self.undo()
        if failed is not None:
            return failed
        try:
            return self._injector.undone()
        except Exception as error:  # noqa: BLE001 - after any error it is checked again
            return self._failed("unknown", "whether anything is left of the fault is not known", error)

    def _failed(self, check: Check, what: str, error: Exception) -> Finding:
        text = f"{what} ({type(error).__name__}: {error})"
        if text != self._last_logged:  # the caller tries ten times a second
            _log.warning(what, fault=self._name, exc_info=error)
        self._last_logged = text
        return Finding(check, text)
