"""Starting a drill from outside, as any program may: a command on the control topic, then its events until the last.

Whoever gives up on a drill calls it off: a command that nobody waits for any more must not break anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from confluent_kafka import KafkaError, Producer

from drills.control.events import FINAL, now_ms
from drills.control.outcomes import Outcomes
from drills.control.reader import TOPIC
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import clients
from standfast.core.errors import ClusterError, Interrupted, NoAnswer, StandfastError
from standfast.core.settings import Settings

_REACH_S = 10.0
_SILENCE_S = 10.0
_END_WITHIN_S = 30.0  # of a drill that was called off: it looks after what it did for up to 20 s
_LATE_S = 2.0  # how much later than our patience a first event may still come
Show = Callable[[DrillEvent], None]


def follow(command: DrillCommand, settings: Settings, within_s: float, show: Show) -> DrillEvent:
    """Sends the command, shows every event as it comes, and returns the last one.

    The command is valid for 10 s. A drill that is given up is called off, and the error says what became of it.

    Raises:
        ClusterError: Kafka does not answer.
        NoAnswer: no runner took the command within 10 s, or the drill had no end within `within_s`.
        Interrupted: by Ctrl-C.
    """
    patience = min(_SILENCE_S, within_s)
    command = msgspec.structs.replace(command, valid_until=now_ms() + round(patience * 1000))
    outcomes = Outcomes(settings, Codec(), "standfast-drill-run")
    try:
        outcomes.go_to_end()
        return _Followed(command, settings, outcomes, show).run(within_s, patience)
    finally:
        outcomes.close()


class _Followed:
    """One drill as whoever started it sees it."""

    def __init__(self, command: DrillCommand, settings: Settings, outcomes: Outcomes, show: Show) -> None:
        self._command = command
        self._drill_id = command.drill_id or ""
        self._settings = settings
        self._outcomes = outcomes
        self._show = show
        self._seen: list[DrillEvent] = []

    def run(self, within_s: float, patience: float) -> DrillEvent:
        """The last event; a drill that is given up is called off."""
        until = time.monotonic() + within_s
        try:
            _send(self._command, self._drill_id, self._settings)
            if not self._until(lambda: bool(self._seen), patience):
                raise NoAnswer(
                    f"no drill runner took {self._drill_id} within {patience:.3g} s; is a system running? see "
                    "`standfast status`, or start one with `standfast up --detach`"
                )
            if not self._until(self._ended, until - time.monotonic()):
                raise NoAnswer(f"{self._drill_id} had not ended after {within_s:g} s")
        except NoAnswer as error:
            raise NoAnswer(f"{error}; {self._called_off()}") from None
        except KeyboardInterrupt:
            raise Interrupted(f"{self._drill_id} was interrupted; {self._called_off()}") from None
        return self._seen[-1]

    def _called_off(self) -> str:
        """Sends the abort, waits for the drill's end and says what became of it."""
        if self._ended():
            return f"it had ended already: {_shown(self._seen[-1])}"
        try:
            _send(DrillCommand(abort=self._drill_id, requested_by="cli"), self._drill_id, self._settings)
            self._until(self._ended, _END_WITHIN_S if self._seen else _LATE_S)
            if self._seen and not self._ended():
                self._until(self._ended, _END_WITHIN_S)
        except StandfastError as error:
            return f"it could not be called off ({error}): see `standfast drill report {self._drill_id}`"
        except KeyboardInterrupt:
            return f"the abort was sent and not waited for: see `standfast drill report {self._drill_id}`"
        if self._ended():
            return f"it was called off: {_shown(self._seen[-1])}"
        if self._seen:
            return f"it was called off and has not ended yet: see `standfast drill report {self._drill_id}`"
        return "it was called off and is valid no longer: it will not strike"

    def _until(self, done: Callable[[], bool], within_s: float) -> bool:
        """Whether it was done in time; shows every event meanwhile."""
        until = time.monotonic() + within_s
        while not done():
            event = next(self._outcomes.following(self._drill_id, until - time.monotonic()), None)
            if event is None:
                return False
            self._seen.append(event)
            with suppress(OSError):  # a terminal that is gone: the drill is followed to its end all the same
                self._show(event)
        return True

    def _ended(self) -> bool:
        return bool(self._seen) and self._seen[-1].phase in FINAL


def _shown(event: DrillEvent) -> str:
    if event.phase == "completed":
        return f"completed, verdict {event.verdict}"
    struck = "" if event.injected is None else f", injected {event.injected}, undone {event.undone or 'unknown'}"
    struck = struck or ", nothing was injected"
    return f"{event.phase}{struck}" + (f" ({event.reason})" if event.reason else "")


def _send(command: DrillCommand, drill_id: str, settings: Settings) -> None:
    """Under the drill's id, so that an abort stands behind its drill in one partition; raises ClusterError."""
    failed: list[KafkaError | None] = []
    within = {"message.timeout.ms": round(_REACH_S * 1000)}
    producer = Producer(clients.producer(settings, "standfast-drill-run", **within))
    producer.produce(
        settings.kafka.topic_prefix + TOPIC,
        Codec().encode(command, Encoding.JSON),
        drill_id,
        on_delivery=lambda error, _message: failed.append(error),
    )
    producer.flush(_REACH_S)
    if not failed or failed[0] is not None:
        producer.purge()
        why = failed[0].str() if failed and failed[0] is not None else f"no answer within {_REACH_S:g} s"
        raise ClusterError(f"Kafka at {settings.kafka.bootstrap_servers} did not take the command: {why}")
