"""Running a drill as any program may: send a command to the control topic, then read its events until the final one.

A caller that gives up sends an abort: a command that nobody waits for any more must not inject a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from drills.control.events import FINAL, now_ms
from drills.control.outcomes import Outcomes
from drills.control.sending import Signs, send
from schemas.codec import Codec
from schemas.records import DrillCommand, DrillEvent
from standfast.core.errors import Interrupted, NoAnswer, StandfastError
from standfast.core.settings import Settings

_SILENCE_S = 10.0  # for the first event, and for how long the command is valid
_END_WITHIN_S = 30.0  # for the final event after an abort: the runner undoes the fault for up to 20 s
_LATE_S = 2.0  # a first event may come so much later than the command is valid
Show = Callable[[DrillEvent], None]


def follow(
    command: DrillCommand, settings: Settings, within_s: float, show: Show, signer: Signs | None = None
) -> DrillEvent:
    """Sends the command, calls `show` with every event as it is read, and returns the final one.

    The command is valid for 10 s, or for `within_s` if that is less. When the caller gives up, the drill is aborted and
    the error says how it ended.

    Raises:
        ClusterError: Kafka does not answer.
        NoAnswer: no runner took the command within 10 s, or the drill had no final event within `within_s`.
        Interrupted: by Ctrl-C.
    """
    patience = min(_SILENCE_S, within_s)
    command = msgspec.structs.replace(command, valid_until=now_ms() + round(patience * 1000))
    outcomes = Outcomes(settings, Codec(), "standfast-drill-run")
    try:
        outcomes.go_to_end()
        return _FollowedDrill(command, settings, outcomes, show, signer).run(within_s, patience)
    finally:
        outcomes.close()


class _FollowedDrill:
    """The events of one drill, read by the client that sent its command."""

    def __init__(
        self, command: DrillCommand, settings: Settings, outcomes: Outcomes, show: Show, signer: Signs | None
    ) -> None:
        self._signer = signer
        self._command = command
        self._drill_id = command.drill_id or ""
        self._settings = settings
        self._outcomes = outcomes
        self._show = show
        self._events: list[DrillEvent] = []

    def run(self, within_s: float, patience: float) -> DrillEvent:
        """The final event; raises NoAnswer or Interrupted after the drill was aborted."""
        deadline = time.monotonic() + within_s
        try:
            send(self._command, self._drill_id, self._settings, self._signer)
            if not self._read_until(lambda: bool(self._events), patience):
                raise NoAnswer(
                    f"no drill runner took {self._drill_id} within {patience:.3g} s; is a system running? see "
                    "`standfast status`, or start one with `standfast up --detach`"
                )
            if not self._read_until(self._ended, deadline - time.monotonic()):
                raise NoAnswer(f"{self._drill_id} had not ended after {within_s:g} s")
        except NoAnswer as error:
            raise NoAnswer(f"{error}; {self._abort()}") from None
        except KeyboardInterrupt:
            raise Interrupted(f"{self._drill_id} was interrupted; {self._abort()}") from None
        return self._events[-1]

    def _abort(self) -> str:
        """Sends the abort, waits for the drill's final event and returns in words how it ended."""
        if self._ended():
            return f"it had ended already: {_in_words(self._events[-1])}"
        try:
            send(DrillCommand(abort=self._drill_id, requested_by="cli"), self._drill_id, self._settings)
            self._read_until(self._ended, _END_WITHIN_S if self._events else _LATE_S)
            if self._events and not self._ended():
                self._read_until(self._ended, _END_WITHIN_S)
        except StandfastError as error:
            return f"it could not be called off ({error}): see `standfast drill report {self._drill_id}`"
        except KeyboardInterrupt:
            return f"the abort was sent and not waited for: see `standfast drill report {self._drill_id}`"
        if self._ended():
            return f"it was called off: {_in_words(self._events[-1])}"
        if self._events:
            return f"it was called off and has not ended yet: see `standfast drill report {self._drill_id}`"
        return "it was called off and is valid no longer: it will not strike"

    def _read_until(self, done: Callable[[], bool], within_s: float) -> bool:
        """Whether `done` became true in time; reads and shows events meanwhile."""
        deadline = time.monotonic() + within_s
        while not done():
            event = next(self._outcomes.following(self._drill_id, deadline - time.monotonic()), None)
            if event is None:
                return False
            self._events.append(event)
            with suppress(OSError):  # the terminal was closed: follow the drill to its end all the same
                self._show(event)
        return True

    def _ended(self) -> bool:
        return bool(self._events) and self._events[-1].phase in FINAL


def _in_words(event: DrillEvent) -> str:
    if event.phase == "completed":
        return f"completed, verdict {event.verdict}"
    injection = "" if event.injected is None else f", injected {event.injected}, undone {event.undone or 'unknown'}"
    injection = injection or ", nothing was injected"
    return f"{event.phase}{injection}" + (f" ({event.reason})" if event.reason else "")
