"""The drill runner: reads commands, runs one drill at a time and writes its events, until it is told to stop.

The thread of `run` does everything except the drill itself, which has its own thread and passes its events in a queue.
A command's offset is committed in the same transaction as its first event, so it is neither lost nor run twice. If the
runner dies, the next runner undoes the drill's fault and ends the drill as `aborted`.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import closing
from dataclasses import replace

import msgspec
import structlog
from confluent_kafka import TopicPartition

from consumers.requests.admission import Origin, origin_of
from drills.catalogue import catalogue
from drills.control.commands import Received, received
from drills.control.dead_letter import dead_letter
from drills.control.events import FINAL, event_of, now_ms, rejection
from drills.control.journal import Journal, JournalEntry
from drills.control.outcomes import TOPIC, Outcome, Outcomes
from drills.control.reader import Control
from drills.control.retry import Retry, StoppedWaiting
from drills.faults.injector import Target
from drills.running import fault_window, intents
from drills.running.choice import chosen, system_of
from drills.running.execution import Execution
from drills.running.leftovers import Leftovers, orphans
from drills.running.plan import Plan, least_s, longest_s, make_plan
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import telemetry
from standfast.core.errors import ClusterError, DrillError, DrillRejected
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_POLL_S = 0.05  # for the next command, between two looks at the running drill
_STOP_WITHIN_S = 6.0  # from SIGTERM until the runner gives up on the drill and on Kafka
_UNDO_WHEN_STOPPING_S = 2.0  # for the undo when the runner is stopped; within `_STOP_WITHIN_S`
_UNDO_WHEN_ABORTED_S = 20.0  # for the undo after an abort
_JOIN_WITHIN_S = 2.0  # for the thread of a drill that still runs at the end
_HANGS_AFTER_S = 60.0  # a drill that is overdue by this hangs: none of its steps takes as long beyond its own limits
_log = structlog.get_logger()


class Runner:
    """One drill runner. Setting `stopping` ends it; it then undoes a running drill and ends it as `aborted`."""

    def __init__(self, settings: Settings, codec: Codec, stopping: threading.Event) -> None:
        self._settings = settings
        self._codec = codec
        self._stopping = stopping
        self._give_up_at: float | None = None
        self._control = Control(settings, self._over)
        self._journal = Journal(settings, codec, self._over)
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._leftovers = Leftovers(settings, self._topic, self._over)
        self._known_ids: set[str] = set()  # drill ids
        self._answered: set[str] = set()  # names of commands' records
        self._aborted_by = ""
        self._current: Execution | None = None
        self._current_encoding = Encoding.JSON
        self._outbox: queue.SimpleQueue[DrillEvent] = queue.SimpleQueue()

    def run(self) -> None:
        """Blocks until stopped. Raises Fenced if another runner takes over, DrillError if a drill hangs."""
        try:
            self._leftovers.undo()
            self._control.open()
            self._journal.connect()
            self._end_orphans()
            self._control.open()  # again: only now that the last runner is fenced its last commit is known
            role_word.begun()
            _log.info("drill runner ready", topic=self._control.topic)
            while not self._stopping.is_set():
                role_word.beat()
                message = self._control.next(_POLL_S)
                if message is not None:
                    origin = origin_of(message)
                    command = received(origin, self._control.record(message), self._codec)
                    self._answer(command, origin, self._control.after(message))
                self._publish()
                self._clear()
                self._fail_if_drill_hangs()
            self._finish()
        except StoppedWaiting:
            _log.warning("stopped while Kafka was down; a drill without an end is ended by the next runner")
        finally:
            self._stop_and_join()
            self._control.close()
            self._journal.close()

    # at the start ---------------------------------------------------------------------------------------------------

    def _end_orphans(self) -> None:
        outcomes = self._past()
        self._known_ids = {outcome.event.drill_id for outcome in outcomes}
        self._answered = {outcome.event.command for outcome in outcomes if outcome.event.command}
        for orphan in orphans(outcomes):
            _log.warning("ending a drill whose runner died", drill_id=orphan.drill_id)
            self._write(JournalEntry((self._leftovers.ended(orphan),), orphan.encoding))
        self._leftovers.forget()

    def _past(self) -> list[Outcome]:
        outage = Retry("the outcome stream cannot be read", self._over)
        while True:
            reader = Outcomes(self._settings, self._codec, "standfast-drills-past")
            try:
                return reader.from_the_start()
            except ClusterError as error:
                outage.wait(str(error))
            finally:
                reader.close()

    # commands -------------------------------------------------------------------------------------------------------

    def _answer(self, command: Received, origin: Origin, offset: tuple[TopicPartition, ...]) -> None:
        """Answers a command and commits its offset in one transaction; then starts the drill, if it is one."""
        try:
            events, plan = self._decided(command)
        except DrillRejected as reason:
            events, plan = (_refusal(command, command.drill_id, str(reason)),), None
        except Exception as error:  # noqa: BLE001 - one command must not stop all later ones
            _log.exception("a drill command broke the runner's plan", own_id=command.own_id)
            why = f"the runner could not plan it ({type(error).__name__}); see the runner's log"
            events, plan = (_refusal(command, command.own_id, why),), None
        letter = dead_letter(origin, command.refused or "") if command.unreadable and events else None
        self._write(JournalEntry(events, command.encoding, offset, self._control.group(), letter))
        self._known_ids.update(event.drill_id for event in events)
        self._answered.add(command.record)
        if plan is not None:
            self._begin(plan, command.encoding)

    def _begin(self, plan: Plan, encoding: Encoding) -> None:
        self._current_encoding = encoding
        self._aborted_by = ""
        try:
            self._current = Execution(plan, self._settings, self._outbox.put)
            self._current.start()
        except Exception as error:  # noqa: BLE001 - without a thread or memory the drill still needs a final event
            _log.exception("the drill cannot begin", drill_id=plan.drill_id)
            self._current = None
            why = f"nothing was injected: the drill cannot begin ({type(error).__name__}: {error})"
            self._write(JournalEntry((event_of(plan, "aborted", reason=why, verdict="aborted"),), encoding))

    def _decided(self, command: Received) -> tuple[tuple[DrillEvent, ...], Plan | None]:
        """The events that answer the command, and the plan to run; raises DrillRejected."""
        if command.record in self._answered:
            _log.warning("a command that was answered before came again", command=command.record)
            return (), None
        if command.drill_id in self._known_ids and command.drill_id != command.own_id:
            reason = f"the drill_id {command.drill_id} was used before; leave it out or choose another"
            return (_refusal(command, command.own_id, reason),), None
        if command.refused is not None:
            raise DrillRejected(command.refused)
        if command.command.abort is not None:
            self._abort(command.command.abort, command.own_id)
            return (), None
        _refuse_if_late(command.command)
        return self._accepted(command)

    def _accepted(self, command: Received) -> tuple[tuple[DrillEvent, ...], Plan | None]:
        plan = replace(make_plan(command.command, command.drill_id, self._settings), command=command.record)
        if self._current is not None:
            current_id = self._current.plan.drill_id
            raise DrillRejected(f'busy with {current_id}; wait for its last event, or send {{"abort": "{current_id}"}}')
        system = system_of(plan, self._settings)
        topic = system.service.requests
        first = plan.faults[0]
        with closing(first.kind.make(system, first.aim)) as injector:
            target = chosen(injector, system, plan.limits)
        accepted = event_of(
            plan,
            "accepted",
            seed=plan.seed,
            params=plan.params,
            target=target.shown(topic),
            reason=f"takes {least_s(plan):g} s and the recovery, {longest_s(plan):g} s at most",
        )
        if plan.dry_run:
            return (accepted, _dry(plan, target, topic)), None
        return (accepted,), plan

    def _abort(self, drill_id: str, command_id: str) -> None:
        current = self._current
        if current is None or drill_id not in ("*", current.plan.drill_id):
            running = f"{current.plan.drill_id} is running" if current else "none is running"
            raise DrillRejected(f"there is no drill {drill_id[:130]!r} to abort; {running}")
        if self._aborted_by:
            raise DrillRejected(f"{current.plan.drill_id} is being stopped already, by the command {self._aborted_by}")
        self._aborted_by = command_id
        self._stop_current(f"stopped by the command {command_id}", _UNDO_WHEN_ABORTED_S)

    def _clear(self) -> None:
        """Lets the drill inject its fault once every command that could abort it has been read."""
        current = self._current
        if current is not None and current.about_to_strike and self._control.is_read():
            current.clear()

    def _fail_if_drill_hangs(self) -> None:
        """Raises DrillError, which ends this process, if a drill hangs; the next runner ends that drill."""
        current = self._current
        if current is not None and current.overdue_s > _HANGS_AFTER_S:
            raise DrillError(
                f"{current.plan.drill_id} should have ended {current.overdue_s:.0f} s ago and hangs; it is ended, and "
                "no other can begin before, so the drill runner starts anew"
            )

    # events ---------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Writes the drill's events; if its thread died without a final event, writes that too."""
        current = self._current
        died = current is not None and not current.running()
        while not self._outbox.empty():
            event = self._with_late_abort(self._outbox.get())
            self._write(JournalEntry((event,), self._current_encoding))
            if event.intent is not None and self._current is not None:
                self._current.intent_is_written()
            if event.phase in FINAL:
                self._current = None
        if died and current is not None and self._current is not None:
            self._leftovers.undo()
            final = event_of(current.plan, "aborted", reason="the drill broke down; see the log", verdict="aborted")
            self._write(JournalEntry((final,), self._current_encoding))
            self._current = None

    def _with_late_abort(self, event: DrillEvent) -> DrillEvent:
        """The event; if it is final but not `aborted`, its reason also tells of an abort that came too late."""
        if event.phase not in FINAL or not self._aborted_by or event.phase == "aborted":
            return event
        late = f"the command {self._aborted_by} to stop it came too late"
        return msgspec.structs.replace(event, reason=f"{event.reason}; {late}" if event.reason else late)

    def _write(self, entry: JournalEntry) -> None:
        self._journal.write(entry)
        for event in entry.events:
            fault_window.note(event)
            if event.phase in FINAL:
                intents.forget(intents.DrillKey(self._topic, event.drill_id, event.command))
                drill = telemetry.label(event.drill, catalogue())
                telemetry.DRILLS.labels(drill, event.verdict or "unknown").inc()
                _log.info("drill ended", drill_id=event.drill_id, drill=event.drill, verdict=event.verdict)
            else:
                _log.info("drill", drill_id=event.drill_id, drill=event.drill, phase=event.phase)

    # at the end -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Stops a running drill and writes its final event, for at most `_STOP_WITHIN_S`."""
        self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        self._stop_current("the drill runner was stopped", _UNDO_WHEN_STOPPING_S)
        while self._current is not None and time.monotonic() < self._give_up_at:
            role_word.beat()
            self._publish()
            time.sleep(_POLL_S)

    def _stop_current(self, why: str, undo_within_s: float) -> None:
        if self._current is not None:
            self._current.stop(why, undo_within_s)

    def _stop_and_join(self) -> None:
        """Stops a drill that still runs, which undoes its fault; the next runner writes its final event."""
        if self._current is not None:
            self._current.stop("the runner ends", 0)
            self._current.join(_JOIN_WITHIN_S)

    def _over(self) -> bool:
        """Whether to stop waiting for Kafka: the runner was told to stop and `_STOP_WITHIN_S` is over."""
        if not self._stopping.is_set():
            return False
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        return time.monotonic() > self._give_up_at


def _refusal(command: Received, drill_id: str, reason: str) -> DrillEvent:
    return rejection(drill_id, command.name, reason, command.command.requested_by, command.record)


def _refuse_if_late(command: DrillCommand) -> None:
    """Raises DrillRejected for a command that is valid no longer: its sender has given up."""
    if command.valid_until is not None and now_ms() > command.valid_until:
        late_ms = now_ms() - command.valid_until
        raise DrillRejected(
            f"the command was valid until {late_ms / 1000:.3g} s ago (valid_until = {command.valid_until}, by the "
            "clock of the drill runner), so nothing is begun; send it again"
        )


def _dry(plan: Plan, target: Target, topic: str) -> DrillEvent:
    """The final event of a dry run: what would have been injected."""
    first, *others = plan.faults
    return event_of(
        plan,
        "completed",
        seed=plan.seed,
        target=target.shown(topic),
        verdict="unknown",
        injected="unknown",
        held="unknown",
        undone="unknown",
        reason="dry run: nothing was injected",
        findings=[
            f"unknown: {first.kind.says}: would strike {target.named}, which owns {list(target.partitions)} of {topic}",
            *(f"unknown: {fault.kind.says}: its victim would be chosen when its step comes" for fault in others),
            f"unknown: {target.standbys} standbys are ready to take over",
            f"unknown: would send {plan.rate:g} requests/s for {least_s(plan):g} s and the recovery",
        ],
    )
