"""The drill runner: reads commands, runs one drill at a time, writes every phase, until it is told to stop.

Everything goes through the one thread of `run`; only a drill itself has another, and hands its events over in a queue.
A command is settled in the same transaction as its first event, so it is neither lost nor started twice. A drill whose
runner dies is undone and ended as `aborted` by the next runner.
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
from drills.running import intents
from drills.running.choice import chosen, scene_of
from drills.running.execution import Execution
from drills.running.leftovers import Leftovers, orphans
from drills.running.plan import Plan, longest_s, make_plan
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import telemetry
from standfast.core.errors import ClusterError, DrillError, DrillRejected
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_POLL_S = 0.05
_STOP_WITHIN_S = 6.0
_UNDO_WHEN_STOPPING_S = 2.0
_UNDO_WHEN_ABORTED_S = 20.0
_LET_GO_S = 2.0
_HANGS_AFTER_S = 60.0  # no step of a drill takes as long, after all that it may wait for
_log = structlog.get_logger()


class Runner:
    """One runner. `stopping` ends it; a drill that runs is then undone and ended as `aborted`."""

    def __init__(self, settings: Settings, codec: Codec, stopping: threading.Event) -> None:
        self._settings = settings
        self._codec = codec
        self._stopping = stopping
        self._give_up_at: float | None = None
        self._control = Control(settings, self._over)
        self._journal = Journal(settings, codec, self._over)
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._leftovers = Leftovers(settings, self._topic, self._over)
        self._known: set[str] = set()  # drill ids
        self._answered: set[str] = set()  # records of commands
        self._called_off_by = ""
        self._current: Execution | None = None
        self._current_encoding = Encoding.JSON
        self._outbox: queue.SimpleQueue[DrillEvent] = queue.SimpleQueue()

    def run(self) -> None:
        """Blocks until stopped. Raises Fenced when another runner takes over, DrillError where a drill hangs."""
        try:
            self._leftovers.undo()
            self._control.open()
            self._journal.connect()
            self._end_orphans()
            self._control.open()  # again: what the last runner committed at the very end is known only now
            role_word.begun()
            _log.info("drill runner ready", topic=self._control.topic)
            while not self._stopping.is_set():
                role_word.beat()
                message = self._control.next(_POLL_S)
                if message is not None:
                    origin = origin_of(message)
                    command = received(origin, self._control.record(message), self._codec)
                    self._settle(command, origin, self._control.after(message))
                self._publish()
                self._clear()
                self._give_up_what_hangs()
            self._finish()
        except StoppedWaiting:
            _log.warning("stopped while Kafka was down; a drill without an end is ended by the next runner")
        finally:
            self._let_go()
            self._control.close()
            self._journal.close()

    # at the start ---------------------------------------------------------------------------------------------------

    def _end_orphans(self) -> None:
        outcomes = self._past()
        self._known = {outcome.event.drill_id for outcome in outcomes}
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

    def _settle(self, command: Received, origin: Origin, offset: tuple[TopicPartition, ...]) -> None:
        """Answers a command and commits its offset, in one transaction; then begins the drill, if it is one."""
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
        self._known.update(event.drill_id for event in events)
        self._answered.add(command.record)
        if plan is not None:
            self._begin(plan, command.encoding)

    def _begin(self, plan: Plan, encoding: Encoding) -> None:
        self._current_encoding = encoding
        self._called_off_by = ""
        try:
            self._current = Execution(plan, self._settings, self._outbox.put)
            self._current.start()
        except Exception as error:  # noqa: BLE001 - no thread, no memory: the drill needs its last event all the same
            _log.exception("the drill cannot begin", drill_id=plan.drill_id)
            self._current = None
            why = f"nothing was injected: the drill cannot begin ({type(error).__name__}: {error})"
            self._write(JournalEntry((event_of(plan, "aborted", reason=why, verdict="aborted"),), encoding))

    def _decided(self, command: Received) -> tuple[tuple[DrillEvent, ...], Plan | None]:
        """The events to answer with, and the plan to begin; raises DrillRejected."""
        if command.record in self._answered:
            _log.warning("a command that was answered before came again", command=command.record)
            return (), None
        if command.drill_id in self._known and command.drill_id != command.own_id:
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
            busy = self._current.plan.drill_id
            raise DrillRejected(f'busy with {busy}; wait for its last event, or send {{"abort": "{busy}"}}')
        scene = scene_of(plan, self._settings)
        topic = scene.service.requests
        with closing(plan.kind.make(scene, plan.aim)) as injector:
            target = chosen(injector, scene)
        accepted = event_of(
            plan,
            "accepted",
            seed=plan.seed,
            params=plan.params,
            target=target.shown(topic),
            reason=f"takes {plan.before_s + plan.after_s:g} s and the recovery, {longest_s(plan):g} s at most",
        )
        if plan.dry_run:
            return (accepted, _dry(plan, target, topic)), None
        return (accepted,), plan

    def _abort(self, which: str, by: str) -> None:
        current = self._current
        if current is None or which not in ("*", current.plan.drill_id):
            running = f"{current.plan.drill_id} is running" if current else "none is running"
            raise DrillRejected(f"there is no drill {which[:130]!r} to abort; {running}")
        if self._called_off_by:
            raise DrillRejected(
                f"{current.plan.drill_id} is being stopped already, by the command {self._called_off_by}"
            )
        self._called_off_by = by
        self._stop_current(f"stopped by the command {by}", _UNDO_WHEN_ABORTED_S)

    def _clear(self) -> None:
        """Lets the drill strike once there is no command that could stop it and was not read."""
        current = self._current
        if current is not None and current.about_to_strike and self._control.is_read():
            current.clear()

    def _give_up_what_hangs(self) -> None:
        """Ends this process where a drill does not end by itself: the next runner gives it its last event."""
        current = self._current
        if current is not None and current.overdue_s > _HANGS_AFTER_S:
            raise DrillError(
                f"{current.plan.drill_id} should have ended {current.overdue_s:.0f} s ago and hangs; it is ended, and "
                "no other can begin before, so the drill runner starts anew"
            )

    # events ---------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Writes what the drill has handed over; a drill that died without a word gets its last event from here."""
        current = self._current
        died = current is not None and not current.running()
        while not self._outbox.empty():
            event = self._told_of_abort(self._outbox.get())
            self._write(JournalEntry((event,), self._current_encoding))
            if event.phase == "steady_state" and self._current is not None:
                self._current.intent_is_written()
            if event.phase in FINAL:
                self._current = None
        if died and current is not None and self._current is not None:
            self._leftovers.undo()
            lost = event_of(current.plan, "aborted", reason="the drill broke down; see the log", verdict="aborted")
            self._write(JournalEntry((lost,), self._current_encoding))
            self._current = None

    def _told_of_abort(self, event: DrillEvent) -> DrillEvent:
        """The event; one that ends a drill also answers the command that came too late to stop it."""
        if event.phase not in FINAL or not self._called_off_by or event.phase == "aborted":
            return event
        late = f"the command {self._called_off_by} to stop it came too late"
        return msgspec.structs.replace(event, reason=f"{event.reason}; {late}" if event.reason else late)

    def _write(self, entry: JournalEntry) -> None:
        self._journal.write(entry)
        for event in entry.events:
            if event.phase in FINAL:
                intents.forget(intents.Whose(self._topic, event.drill_id, event.command))
                drill = telemetry.label(event.drill, catalogue())
                telemetry.DRILLS.labels(drill, event.verdict or "unknown").inc()
                _log.info("drill ended", drill_id=event.drill_id, drill=event.drill, verdict=event.verdict)
            else:
                _log.info("drill", drill_id=event.drill_id, drill=event.drill, phase=event.phase)

    # at the end -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Undoes and ends the drill that runs, within a deadline."""
        self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        self._stop_current("the drill runner was stopped", _UNDO_WHEN_STOPPING_S)
        while self._current is not None and time.monotonic() < self._give_up_at:
            role_word.beat()
            self._publish()
            time.sleep(_POLL_S)

    def _stop_current(self, why: str, undo_within_s: float) -> None:
        if self._current is not None:
            self._current.stop(why, undo_within_s)

    def _let_go(self) -> None:
        """Takes the fault of a drill that still runs away, for its last event the next runner writes."""
        if self._current is not None:
            self._current.stop("the runner ends", 0)
            self._current.join(_LET_GO_S)

    def _over(self) -> bool:
        """Whether waiting for Kafka is to end: told to stop, and the time to finish is up."""
        if not self._stopping.is_set():
            return False
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        return time.monotonic() > self._give_up_at


def _refusal(command: Received, drill_id: str, reason: str) -> DrillEvent:
    return rejection(drill_id, command.name, reason, command.command.requested_by, command.record)


def _refuse_if_late(command: DrillCommand) -> None:
    """Raises DrillRejected for a drill whose sender has given up by now."""
    if command.valid_until is not None and now_ms() > command.valid_until:
        late = now_ms() - command.valid_until
        raise DrillRejected(
            f"the command was valid until {late / 1000:.3g} s ago (valid_until = {command.valid_until}, by the clock "
            "of the drill runner), so nothing is begun; send it again"
        )


def _dry(plan: Plan, target: Target, topic: str) -> DrillEvent:
    """The last event of a dry run: what would have happened."""
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
            f"unknown: {plan.kind.says}: would strike {target.named}, which owns {list(target.partitions)} of {topic}",
            f"unknown: {target.standbys} standbys are ready to take over",
            f"unknown: would send {plan.rate:g} requests/s for {plan.before_s + plan.after_s:g} s and the recovery",
        ],
    )
