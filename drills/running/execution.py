"""One drill from steady state to verdict, in a thread of its own.

Every wait ends at its own limit, when the drill's `duration_s` is over, or at once when the drill is told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from consumers.service import service
from drills.control.events import event_of
from drills.control.outcomes import TOPIC
from drills.evidence.checker import measure
from drills.evidence.circumstances import Moment, circumstances
from drills.evidence.history import History
from drills.evidence.hypothesis import Expectation
from drills.evidence.load import Load
from drills.evidence.logbook import keep
from drills.evidence.terms import Terms, rounded
from drills.evidence.verdict import Finding, together
from drills.faults.injector import Injector
from drills.running import intents
from drills.running.choice import Statuses
from drills.running.go_ahead import GoAhead
from drills.running.judging import judged
from drills.running.method import Ticks, played
from drills.running.plan import SETTLE_S, Plan, PlannedFault
from drills.running.steadiness import refuse_if_unsteady
from drills.running.strike import Strike
from drills.running.watch import Watch
from drills.safety import lever
from schemas.records import DrillEvent, Phase, Scalar
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings

_TICK_S = 0.01
_STATUS_EVERY_S = 0.1  # between two reads of the system's status
_SHOWN_WITHIN_S = 5.0  # for the fault to take effect once it was injected
Emit = Callable[[DrillEvent], None]
_log = structlog.get_logger()


class _Stopped(Exception):
    """The drill was told to stop."""


class Execution:
    """A running drill. `emit` is called from its thread with each event; the last event is always a final one."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        emit: Emit,
        injectors: Sequence[Injector],
        statuses: Statuses,
        is_replaced: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self._service = service(plan.service, settings)
        self._settings = settings
        self._statuses = statuses
        self._began = Moment.now()
        self._emit = emit
        self._is_replaced = is_replaced
        self._stop = threading.Event()
        self._why = ""
        self._undo_within_s = 5.0
        self._deadline = time.monotonic() + plan.duration_s
        self._guarded = False  # by the drill's stop conditions
        self._is_striking = False
        self._strikes = [
            Strike(fault, plan, self._service, injector, statuses)
            for fault, injector in zip(plan.faults, injectors, strict=True)
        ]
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._go_ahead = GoAhead(self._topic)
        self._load = Load(settings, self._service, plan.drill_id, plan.rate, plan.queries, deadline_ms=plan.deadline_ms)
        self._watch = Watch(self._load.so_far, plan.stop_when)
        self._thread = threading.Thread(target=self._run, name=f"drill-{plan.drill_id}", daemon=True)

    def start(self) -> None:
        """Starts the drill's thread; returns at once."""
        self._thread.start()

    def stop(self, why: str, undo_within_s: float) -> None:
        """Ends the drill early as `aborted`; returns at once. The undo is tried for at most `undo_within_s`."""
        self._why = why
        self._undo_within_s = undo_within_s
        self._stop.set()

    @property
    def overdue_s(self) -> float:
        """How many seconds ago its `duration_s` was over; negative before that."""
        return time.monotonic() - self._deadline

    def running(self) -> bool:
        """Whether its thread still runs; it emits the final event before it ends."""
        return self._thread.is_alive()

    @property
    def is_striking(self) -> bool:
        """Whether a fault is announced, and its injection not told yet."""
        return self._is_striking

    @property
    def about_to_strike(self) -> bool:
        """Whether it waits for `clear` before it injects the fault."""
        return self._go_ahead.is_wanted

    def clear(self) -> None:
        """Tells the drill that no command sent so far aborts it: it may inject the fault within the next second."""
        self._go_ahead.clear()

    def intent_is_written(self) -> None:
        """Tells the drill that Kafka has acknowledged one more event with an intent."""
        self._go_ahead.written()

    def abandon(self) -> None:
        """Has every fault undone, for a drill whose thread died; returns at once."""
        for strike in self._strikes:
            if strike.injection is not None:
                strike.is_healed()

    def join(self, within_s: float) -> None:
        """Waits for the thread's end, for at most `within_s`."""
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            self._phases()
        except DrillRejected as reason:
            if self._injections:
                self._aborted(str(reason))
                return
            self._emit(event_of(self.plan, "rejected", reason=str(reason), verdict="rejected"))
        except _Stopped:
            self._aborted(self._why)
        except Exception as error:  # noqa: BLE001 - after any error the drill needs a final event
            _log.exception("the drill broke down", drill_id=self.plan.drill_id)
            self._aborted(f"the drill itself broke down ({type(error).__name__}: {error}); see the runner's log")
        finally:
            self._load.close()
            for strike in self._strikes:
                strike.close()

    def _phases(self) -> None:
        self._steady_state()
        for _ in played(self.plan.method, self):
            self._tick(_TICK_S)
        self._observe()
        self._guarded = False
        undone = self._undo(self.plan.restore_within_s)
        self._emit(event_of(self.plan, "rolled_back", undone=undone.check, findings=[undone.line]))
        self._settle()
        self._judge(undone)

    # 1. steady state ------------------------------------------------------------------------------------------------

    def _steady_state(self) -> None:
        """Chooses the first target, after `before_s` of load; raises DrillRejected unless all of that was answered."""
        first = self._strikes[0]
        first.choose([])
        self._load.start()
        self._pause(self.plan.before_s)
        window_ends = time.monotonic()
        self._wait(lambda: not self._load.unanswered(window_ends), self.plan.answer_within_s)
        measured = measure(self._load.history())
        if self._load.broken:
            raise DrillRejected(f"nothing was injected: the drill's load failed ({self._load.broken})")
        refuse_if_unsteady(measured, self._load.unanswered(window_ends), self.plan.objectives)
        target = first.choose([])
        p99_ms = measured.before.p99_ms or 0
        findings = [
            f"passed: {measured.answered} requests answered ok, none doubled, p99 {p99_ms:.0f} ms",
            f"passed: {target.named} is there, {target.standbys} standbys are ready",
        ]
        self._announce("steady_state", first, latency_before=measured.before, findings=findings)

    # 2. the method --------------------------------------------------------------------------------------------------

    def strike(self, fault: PlannedFault) -> Ticks:
        """Injects the fault, after its intent was written and every command read; raises DrillRejected."""
        strike = self._strikes[fault.number]
        if fault.number:  # the first target was chosen with the steady state
            strike.choose(self._strikes)
            self._announce("observing", strike, reason=f"about to inject the fault {fault.kind.name}")
        yield from self._until_allowed()
        struck = strike.inject()
        self._load.struck(struck)
        self._guarded = True  # not earlier: requests that are still under way would count as unanswered
        self._load.send_now(struck.partitions)
        injection = strike.check_injection(_SHOWN_WITHIN_S)
        self._emit(
            event_of(
                self.plan,
                "injected",
                target=self._shown(strike),
                injected=injection.check,
                findings=[injection.line],
            )
        )
        self._is_striking = False

    def _until_allowed(self) -> Ticks:
        """Raises DrillRejected where the fault must not be injected, _Stopped if the drill was aborted."""
        yield from self._go_ahead.until_written(self.wait)
        cleared = yield from self._go_ahead.until_cleared(self.wait)
        if self._stop.is_set():
            raise _Stopped
        if time.monotonic() > self._deadline:
            raise DrillRejected(f"nothing was injected: the {self.plan.duration_s:g} s the drill may take were over")
        lever.refuse_if_engaged()
        if not cleared:
            raise DrillRejected(
                "nothing was injected: drills.control cannot be read, so nobody knows whether the drill was called off"
            )
        if self._is_replaced():
            raise DrillRejected("nothing was injected: another drill runner has taken over and ended the drill")

    def lift(self, fault: PlannedFault) -> Ticks:
        """Undoes the fault, and waits until nothing is left of it, at most `restore_within_s`."""
        strike = self._strikes[fault.number]
        yield from self.wait(strike.is_healed, self.plan.restore_within_s)
        self._note_healed(strike)

    def holds(self, expectation: Expectation) -> Callable[[], bool]:
        """A function that tells whether the expectation holds when it is called."""
        return lambda: expectation.finding(self._watch.seen()).check == "passed"

    def wait(self, done: Callable[[], bool], within_s: float) -> Ticks:
        """Waits until `done` is true, at most `within_s` and the drill's duration."""
        deadline = min(time.monotonic() + within_s, self._deadline)
        while not done() and time.monotonic() < deadline:
            yield

    def _announce(self, phase: Phase, strike: Strike, **more: object) -> None:
        """Emits the event with the intent of the drill's faults so far and of this one."""
        intent = intents.intent_of(self.plan, self._topic, self._strikes)
        self._is_striking = True
        self._go_ahead.announce()
        text = intents.encoded(intent)
        self._emit(event_of(self.plan, phase, target=self._shown(strike), intent=text, **more))

    # 3. observation -------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        plan_text = f"until its partitions answer again, at most {self.plan.recover_within_s:g} s"
        self._emit(event_of(self.plan, "observing", reason=f"{plan_text}, then {self.plan.after_s:g} s more"))
        if self._wait(self._load.recovered, self.plan.recover_within_s):
            measured = measure(self._load.history())
            self._emit(event_of(self.plan, "recovered", rto_ms=rounded(measured.rto_ms)))
            self._pause(self.plan.after_s)
        self._load.stop_sending()
        self._wait(self._have_lasted, self.plan.recover_within_s, every=_STATUS_EVERY_S)

    def _have_lasted(self) -> bool:
        return all(strike.injector.lasted() for strike in self._strikes if strike.lasts)

    def _settle(self) -> None:
        """Waits for the last answer, and then `SETTLE_S` for duplicates."""
        self._wait(lambda: not self._load.unanswered(), self.plan.answer_within_s)
        self._pause(SETTLE_S)

    # 4. undo --------------------------------------------------------------------------------------------------------

    def _undo(self, within_s: float) -> Finding:
        """Undoes every fault and returns whether nothing is left of them; blocks for at most `within_s`."""
        struck = [strike for strike in self._strikes if strike.injection is not None]

        def healed() -> bool:
            checks = [strike.is_healed() for strike in struck]  # each is tried, also after one that stays
            return all(checks)

        self._wait(healed, within_s)
        for strike in struck:
            self._note_healed(strike)
        return together(self._undone)

    @property
    def _undone(self) -> list[Finding]:
        return [strike.undone for strike in self._strikes if strike.undone is not None]

    @property
    def _injections(self) -> list[Finding]:
        return [strike.injection for strike in self._strikes if strike.injection is not None]

    def _note_healed(self, strike: Strike) -> None:
        if strike.fault is not None and not strike.lasts:
            self._load.healed(strike.fault, strike.healed_at)

    # 5. judgement ---------------------------------------------------------------------------------------------------

    def _judge(self, undone: Finding) -> None:
        history = self._load.history()
        plan, injected = self.plan, together(self._injections)
        responses = tuple(response for strike in self._strikes if (response := strike.response) is not None)
        terms = Terms(plan.objectives, injected, undone, plan.hypothesis, self._load.broken, responses)
        self._keep(history, terms)
        self._emit(judged(plan, self._shown_target(), terms, history))

    def _aborted(self, why: str) -> None:
        """Emits the final event of a drill that ends early; injected faults are undone first."""
        self._guarded = False
        self._load.stop_sending()
        if self._injections:
            self._stop.clear()
            self._deadline = time.monotonic() + self._undo_within_s
            with suppress(_Stopped):
                self._undo(self._undo_within_s)
        self._emit(
            event_of(
                self.plan,
                "aborted",
                reason=why,
                verdict="aborted",
                target=self._shown_target(),
                injected=together(self._injections).check if self._injections else None,
                undone=together(self._undone).check if self._undone else None,
                findings=[finding.line for finding in (*self._injections, *self._undone)] or None,
            )
        )

    def _shown(self, strike: Strike) -> dict[str, Scalar] | None:
        return strike.target.shown(self._service.requests) if strike.target else None

    def _shown_target(self) -> dict[str, Scalar] | None:
        """The targets of all faults, the values of each key joined by commas."""
        merged: dict[str, Scalar] = {}
        for shown in filter(None, map(self._shown, self._strikes)):
            for key, value in shown.items():
                merged[key] = value if merged.get(key) in {None, value} else f"{merged[key]},{value}"
        return merged or None

    def _keep(self, history: History, terms: Terms) -> None:
        models = {
            worker.model
            for host in self._statuses().values()
            for worker in host.workers
            if worker.service == self._service.name
        }
        try:
            keep(self.plan.drill_id, history, terms, circumstances(self._settings, models, self._began))
        except OSError as error:  # a full disk must not abort a drill that has its verdict
            _log.warning("the history of the drill could not be kept", drill_id=self.plan.drill_id, error=str(error))

    def _pause(self, seconds: float) -> None:
        self._wait(lambda: False, seconds)

    def _wait(self, done: Callable[[], bool], within_s: float, every: float = _TICK_S) -> bool:
        """Whether `done` became true in time; raises _Stopped."""
        deadline = min(time.monotonic() + within_s, self._deadline)
        while not done():
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return False
            self._tick(min(every, remaining_s))
        return True

    def _tick(self, seconds: float) -> None:
        """Waits; raises _Stopped when the drill is told to stop, or meets one of its own stop conditions."""
        if self._stop.wait(seconds):
            raise _Stopped
        if self._guarded and (reason := self._watch.alarm()):
            self._why = reason
            raise _Stopped
