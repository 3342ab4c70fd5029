"""The drill runner: reads commands, runs one drill at a time and writes its events, until it is told to stop.

The thread of `run` does everything except the drill itself, which has its own thread and passes its events in a queue.
A command's offset is committed in the same transaction as its first event, so it is neither lost nor run twice. If the
runner dies, the next runner undoes the drill's fault and ends the drill as `aborted`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec
import structlog
from confluent_kafka import TopicPartition

from consumers.requests.admission import Origin, origin_of
from consumers.service import Service, service
from drills.campaigns.conductor import Campaigns, is_campaign
from drills.catalogue import catalogue
from drills.control.commands import Received, received
from drills.control.dead_letter import dead_letter
from drills.control.events import FINAL, event_of, is_done
from drills.control.journal import Journal, JournalEntry
from drills.control.outcomes import TOPIC, Outcome, Outcomes
from drills.control.reader import Control
from drills.control.retry import Retry, StoppedWaiting
from drills.gamedays.desk import GameDays, is_game_day
from drills.gamedays.hidden import hidden
from drills.running import answers, fault_window
from drills.running.choice import chosen, whole
from drills.running.leftovers import Leftovers, orphans
from drills.running.ordered_fault import OrderedFault
from drills.running.orders import Orders
from drills.running.plan import Plan, least_s, longest_s, make_plan
from drills.running.underway import Running, Start, Underway
from drills.safety import lever
from drills.safety.gate import Gate
from drills.safety.lever_orders import moved_lever, restore_lever
from drills.safety.lever_watch import LeverWatch
from drills.safety.limits import Victims
from drills.schedules.clock import Clock
from schemas.codec import Codec
from schemas.records import DrillEvent
from standfast.core import telemetry
from standfast.core.errors import ClusterError, DrillRejected, Fenced
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_IDLE_POLL_S = 0.5  # for the next command, which ends the wait at once; schedules and SIGTERM are looked at between
_POLL_S = 0.02  # between two looks at the running drills
_STRIKING_POLL_S = 0.005  # while a fault waits for what this thread reads and writes: four such waits took 200 ms
_STOP_WITHIN_S = 6.0  # from SIGTERM until the runner gives up on the drill and on Kafka
_UNDO_WHEN_STOPPING_S = 2.0  # for the undo when the runner is stopped; within `_STOP_WITHIN_S`
_HANGS_AFTER_S = 60.0  # a drill that is overdue by this hangs: none of its steps takes as long beyond its own limits
_log = structlog.get_logger()
Decision = tuple[tuple[DrillEvent, ...], Start | None]


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
        self._orders = Orders(settings, self._over)
        self._leftovers = Leftovers(settings, self._topic, self._orders, self._over)
        self._known_ids: set[str] = set()  # drill ids
        self._answered: set[str] = set()  # names of commands' records
        self._outbox: queue.SimpleQueue[DrillEvent] = queue.SimpleQueue()
        self._underway = Underway(settings, self._orders, self._outbox.put)
        self._gate = Gate(settings)
        self._handlers: dict[str, Callable[[Received], Decision]] = {
            "drill": self._accepted,
            "abort": self._abort,
            "lever": self._lever,
            "approve": self._approve,
            "campaign": lambda command: (self._campaigns.begin(command, self._known_ids), None),
            "gameday": lambda command: (self._game_days.answer(command, self._known_ids), None),
        }
        self._campaigns = Campaigns(settings, self._underway)
        self._game_days = GameDays(settings)
        self._clock = Clock()
        self._lever_watch = LeverWatch(lambda: bool(self._underway), self._underway.stop_all)

    def run(self) -> None:
        """Blocks until stopped. Raises Fenced if another runner takes over, DrillError if a drill hangs."""
        try:
            self._orders.wait_for_turn()
            self._control.open()
            self._journal.connect()
            self._orders.take_over()
            self._end_orphans()
            self._control.open()  # again: only now that the last runner is fenced its last commit is known
            self._orders.wait_for_hosts()
            role_word.begun()
            self._lever_watch.start()
            _log.info("drill runner ready", topic=self._control.topic)
            while not self._stopping.is_set():
                role_word.beat()
                message = self._control.next(self._poll_s())
                if message is not None:
                    origin = origin_of(message)
                    command = received(origin, self._control.record(message), self._codec)
                    self._answer(command, origin, self._control.after(message))
                self._publish()
                self._clear()
                self._end_waits()
                self._go_on()
                self._underway.refuse_if_any_hangs(_HANGS_AFTER_S)
                self._end_if_replaced()
            self._finish()
        except StoppedWaiting:
            _log.warning("stopped while Kafka was down; a drill without an end is ended by the next runner")
        finally:
            self._lever_watch.end()
            self._underway.end("the runner ends", 0)
            self._underway.join()
            self._orders.close()
            self._control.close()
            self._journal.close()

    def _poll_s(self) -> float:
        if self._underway.strikes():
            return _STRIKING_POLL_S
        return _POLL_S if self._underway else _IDLE_POLL_S

    # at the start ---------------------------------------------------------------------------------------------------

    def _end_orphans(self) -> None:
        outcomes = self._past()
        self._known_ids = {outcome.event.drill_id for outcome in outcomes}
        self._answered = {outcome.event.command for outcome in outcomes if outcome.event.command}
        self._campaigns.resume(outcomes)
        self._game_days.resume(outcomes)
        for orphan in orphans(outcome for outcome in outcomes if not _has_drills(outcome.event)):
            _log.warning("ending a drill whose runner died", drill_id=orphan.drill_id)
            self._write(JournalEntry((self._leftovers.ended(orphan),), orphan.encoding))
        restore_lever(outcome.event for outcome in outcomes)

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

    def _answer(self, command: Received, origin: Origin | None, offset: tuple[TopicPartition, ...]) -> None:
        """Answers a command and commits its offset in one transaction; then starts the drill, if it is one.

        `origin` is None for a command of the runner's own.
        """
        start: Start | None = None
        try:
            events, start = self._decided(command, origin)
        except DrillRejected as reason:
            events = (answers.refusal(command, command.drill_id, str(reason)),)
        except Exception as error:  # noqa: BLE001 - one command must not stop all later ones
            _log.exception("a drill command broke the runner's plan", own_id=command.own_id)
            why = f"the runner could not plan it ({type(error).__name__}); see the runner's log"
            events = (answers.refusal(command, command.own_id, why),)
        letter = dead_letter(origin, command.refused or "") if origin and command.unreadable and events else None
        self._write(JournalEntry(events, command.encoding, offset, self._control.group(), letter))
        self._known_ids.update(event.drill_id for event in events)
        self._answered.add(command.record)
        if start is not None:
            self._begin(start)

    def _begin(self, start: Start) -> None:
        try:
            self._underway.begin(start)
        except Exception as error:  # noqa: BLE001 - without a thread or memory the drill still needs a final event
            _log.exception("the drill cannot begin", drill_id=start.plan.drill_id)
            why = f"nothing was injected: the drill cannot begin ({type(error).__name__}: {error})"
            final = event_of(start.plan, "aborted", reason=why, verdict="aborted")
            self._write(JournalEntry((final,), start.encoding))

    def _decided(self, command: Received, origin: Origin | None) -> Decision:
        """The events that answer the command, and the drill to start; raises DrillRejected."""
        if command.record in self._answered:
            _log.warning("a command that was answered before came again", command=command.record)
            return (), None
        if command.drill_id in self._known_ids and command.drill_id != command.own_id:
            reason = f"the drill_id {command.drill_id} was used before; leave it out or choose another"
            return (answers.refusal(command, command.own_id, reason),), None
        if command.refused is not None:
            raise DrillRejected(command.refused)
        if origin is not None:
            command = self._gate.authentic(command, origin)
        if not command.only_stops:
            answers.refuse_if_late(command.command)
        return self._handlers[command.order](command)

    def _accepted(self, command: Received, approved_by: str | None = None) -> Decision:
        plan = make_plan(command.command, command.drill_id, self._settings)
        plan = replace(plan, command=command.record, requested_by=command.by)
        self._gate.refuse_now(plan)
        self._underway.refuse_if_full()
        of_service = service(plan.service, self._settings)
        faults = [OrderedFault(self._orders, plan.drill_id, planned, of_service) for planned in plan.faults]
        try:
            return self._allowed(command, plan, faults, of_service, approved_by)
        except DrillRejected:
            faults[0].close()
            raise

    def _allowed(
        self,
        command: Received,
        plan: Plan,
        faults: list[OrderedFault],
        of_service: Service,
        approved_by: str | None,
    ) -> Decision:
        others = [running.victims for running in self._underway.all()]
        statuses = self._orders.hosts.statuses
        target = chosen(faults[0], of_service, statuses, plan.limits, [other.target for other in others])
        victims = Victims(faults[0].host, target)
        radius = self._gate.refuse_victims(victims, others, whole(statuses()), of_service)
        needed = self._gate.approval_needed(radius)
        takes = f"takes {least_s(plan):g} s and the recovery, {longest_s(plan):g} s at most"
        if needed and not plan.dry_run and approved_by is None:
            faults[0].close()
            waits = self._gate.approvals.wait(command)
            return (event_of(plan, "accepted", seed=plan.seed, reason=f"{waits}, because {needed}"),), None
        accepted = event_of(
            plan,
            "accepted",
            seed=plan.seed,
            params=plan.params,
            target=target.shown(of_service.requests),
            reason=f"approved by {approved_by}; {takes}" if approved_by else takes,
        )
        if plan.dry_run:
            faults[0].close()
            limits = self._gate.in_words(radius, needed)
            return (accepted, answers.dry(plan, target, of_service.requests, limits)), None
        return (accepted,), Start(plan, victims, faults, command.encoding)

    def _abort(self, command: Received) -> Decision:
        drill_id = command.command.abort or ""
        why = f"stopped by the command {command.own_id}"
        members = self._campaigns.stop(drill_id, why)
        is_game_days = self._game_days.end(drill_id)
        ids = [drill_id] if drill_id == "*" or members is None else members
        withdrawn = [waiting for each in ids for waiting in self._gate.approvals.withdrawn(each)]
        for each in ids:
            try:
                self._underway.abort(each, command.own_id)
            except DrillRejected:
                if members is None and not withdrawn and not is_game_days:
                    raise
        said = answers.done(command, f"{'everything' if drill_id == '*' else drill_id[:130]} is being stopped")
        return (said, *(answers.called_off(waiting, why) for waiting in withdrawn)), None

    def _lever(self, command: Received) -> Decision:
        return (moved_lever(command, self._underway),), None

    def _approve(self, command: Received) -> Decision:
        waiting = self._gate.approvals.approved(command)
        try:
            events, start = self._accepted(waiting, command.by)
        except DrillRejected as reason:
            why = f"approved by {command.by}, but: {reason}"
            events, start = (answers.refusal(waiting, waiting.drill_id, why),), None
        return (answers.done(command, f"{waiting.drill_id} is approved"), *events), start

    def _end_waits(self) -> None:
        """Rejects the drills that nobody approved in time, and all that wait while the lever is engaged."""
        reason = lever.engaged() if self._gate.approvals else None
        late = self._gate.approvals.withdrawn("*") if reason else self._gate.approvals.expired()
        for command in late:
            why = reason or f"nobody approved it within {self._settings.drills.approve_within_s:g} s"
            self._write(JournalEntry((answers.refusal(command, command.drill_id, why),), command.encoding))

    def _go_on(self) -> None:
        """Writes what campaigns and game days have to say, and begins what they and the schedules want now."""
        self._end_game_days_drill()
        for event, encoding in (*self._campaigns.events(), *self._game_days.events()):
            self._write(JournalEntry((event,), encoding))
        for command in (*self._campaigns.due(), *self._game_days.due()):
            self._answer(command, None, ())
        for due in self._clock.due(self._known_ids):
            command = replace(due.command, refused=due.missed or None)
            self._answer(command, None, ())

    def _end_game_days_drill(self) -> None:
        """Stops the drill of a game day that ends."""
        drill_id = self._game_days.to_stop() or ""
        running = self._underway.get(drill_id)
        if running is not None and not running.aborted_by and not running.by_lever:
            self._underway.abort(drill_id, "gameday end")
        for waiting in self._gate.approvals.withdrawn(drill_id):
            event = answers.called_off(waiting, "the game day was ended")
            self._write(JournalEntry((event,), waiting.encoding))

    def _end_if_replaced(self) -> None:
        """Raises Fenced if a later runner writes signs of life; without a command, no write would tell."""
        if self._orders.is_replaced:
            raise Fenced("another drill runner has taken over; this one ends")

    def _clear(self) -> None:
        """Lets drills inject their faults once every command that could abort them has been read."""
        about_to_strike = [running for running in self._underway.all() if running.execution.about_to_strike]
        if about_to_strike and self._control.is_read():
            for running in about_to_strike:
                running.execution.clear()

    # events ---------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Writes the drills' events; if a drill's thread died without a final event, writes that too."""
        died = [running for running in self._underway.all() if not running.execution.running()]
        while not self._outbox.empty():
            event = self._outbox.get()
            running = self._underway.get(event.drill_id)
            if running is None:
                continue
            self._write(JournalEntry((_with_late_abort(event, running),), running.encoding))
            if event.intent is not None:
                running.execution.intent_is_written()
            if event.phase in FINAL:
                self._underway.forget(event.drill_id)
        for running in died:
            if self._underway.get(running.plan.drill_id) is not None:
                running.execution.abandon()
                why = "the drill broke down; see the log"
                final = event_of(running.plan, "aborted", reason=why, verdict="aborted")
                self._write(JournalEntry((final,), running.encoding))
                self._underway.forget(running.plan.drill_id)

    def _write(self, entry: JournalEntry) -> None:
        for event in entry.events:
            self._game_days.note(event)
        events = (hidden(event) if self._game_days.hides(event.drill_id) else event for event in entry.events)
        entry = replace(entry, events=tuple(events))
        self._journal.write(entry)
        for event in entry.events:
            self._campaigns.note(event)
            fault_window.note(event)
            if event.phase in FINAL:
                if not _has_drills(event) and not is_done(event):
                    drill = telemetry.label(event.drill, catalogue())
                    telemetry.DRILLS.labels(drill, event.verdict or "unknown").inc()
                _log.info("drill ended", drill_id=event.drill_id, drill=event.drill, verdict=event.verdict)
            else:
                _log.info("drill", drill_id=event.drill_id, drill=event.drill, phase=event.phase)

    # at the end -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Stops a running drill and writes its final event, for at most `_STOP_WITHIN_S`."""
        self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        self._underway.end("the drill runner was stopped", _UNDO_WHEN_STOPPING_S)
        while self._underway and time.monotonic() < self._give_up_at:
            role_word.beat()
            self._publish()
            time.sleep(_POLL_S)

    def _over(self) -> bool:
        """Whether to stop waiting for Kafka: the runner was told to stop and `_STOP_WITHIN_S` is over."""
        if not self._stopping.is_set():
            return False
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + _STOP_WITHIN_S
        return time.monotonic() > self._give_up_at


def _has_drills(event: DrillEvent) -> bool:
    """Whether it is an event of a campaign or a game day, which go on after a restart, and not of a drill."""
    return is_campaign(event) or is_game_day(event)


def _with_late_abort(event: DrillEvent, running: Running) -> DrillEvent:
    """The event; if it is final but not `aborted`, its reason also tells of an abort that came too late."""
    if event.phase not in FINAL or not running.aborted_by or event.phase == "aborted":
        return event
    late = f"the command {running.aborted_by} to stop it came too late"
    return msgspec.structs.replace(event, reason=f"{event.reason}; {late}" if event.reason else late)
