"""Taking a fault away: an action that is tried until it works, then a look at what is left."""

from __future__ import annotations

import structlog

from drills.evidence.verdict import Finding
from drills.faults.injector import Injector
from schemas.records import Check

_log = structlog.get_logger()


class Undoing:
    """The undo of one fault. What goes wrong in it is a finding and no error: the drill needs its last event."""

    def __init__(self, injector: Injector, drill_id: str) -> None:
        self._injector = injector
        self._drill_id = drill_id
        self._is_done = False
        self._said = ""

    def act(self) -> Finding | None:
        """Takes the fault away, unless that has worked before; None if it has worked."""
        if not self._is_done:
            try:
                self._injector.undo()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                return self._failed("failed", "the fault could not be taken away", error)
            self._is_done = True
        return None

    def again(self) -> Finding:
        """The same, then what is left of the fault now."""
        failed = self.act()
        if failed is not None:
            return failed
        try:
            return self._injector.undone()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked again
            return self._failed("unknown", "whether anything is left of the fault is not known", error)

    def _failed(self, check: Check, what: str, error: Exception) -> Finding:
        text = f"{what} ({type(error).__name__}: {error})"
        if text != self._said:  # it may be tried ten times a second
            _log.warning(what, drill_id=self._drill_id, exc_info=error)
        self._said = text
        return Finding(check, text)
