"""One drill from steady state to verdict, in a thread of its own.

Every wait ends at its own limit, when the drill's `duration_s` is over, or at once when the drill is told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from drills.control.events import event_of
from drills.control.outcomes import TOPIC
from drills.evidence.checker import measure
from drills.evidence.history import History
from drills.evidence.load import Load
from drills.evidence.logbook import keep
from drills.evidence.verdict import Finding
from drills.faults.injector import Injector, Target
from drills.running import intents
from drills.running.choice import chosen, system_of
from drills.running.judging import judged, rounded
from drills.running.plan import SETTLE_S, Plan
from drills.running.steadiness import refuse_if_unsteady
from drills.running.undoing import Undoing
from schemas.records import DrillEvent, Scalar
from standfast.core.errors import DrillRejected, StandfastError
from standfast.core.settings import Settings

_TICK_S = 0.01
_STATUS_EVERY_S = 0.1  # between two reads of the system's status
_WRITTEN_WITHIN_S = 5.0  # for Kafka to acknowledge the intent
_SHOWN_WITHIN_S = 5.0  # for the fault to take effect once it was injected
_CLEAR_WITHIN_S = 10.0  # for the runner to read the control topic to its end before the fault
_CLEAR_FOR_S = 1.0  # so long after that the fault may be injected
Emit = Callable[[DrillEvent], None]
_log = structlog.get_logger()


class _Stopped(Exception):
    """The drill was told to stop."""


class Execution:
    """A running drill. `emit` is called from its thread with each event; the last event is always a final one."""

    def __init__(self, plan: Plan, settings: Settings, emit: Emit) -> None:
        self.plan = plan
        self._settings = settings
        self._system = system_of(plan, settings)
        self._emit = emit
        self._stop = threading.Event()
        self._why = ""
        self._undo_within_s = 5.0
        self._deadline = time.monotonic() + plan.duration_s
        self._about_to_strike = False
        self._cleared_at = float("-inf")
        self._injector: Injector = plan.kind.make(self._system, plan.aim)
        self._target: Target | None = None
        self._injection: Finding | None = None
        self._undone: Finding | None = None
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._intent_is_written = threading.Event()
        self._load = Load(settings, self._system.service, plan.drill_id, plan.rate, plan.queries)
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
    def about_to_strike(self) -> bool:
        """Whether it waits for `clear` before it injects the fault."""
        return self._about_to_strike

    def clear(self) -> None:
        """Tells the drill that no command sent so far aborts it: it may inject the fault within the next second."""
        self._cleared_at = time.monotonic()

    def intent_is_written(self) -> None:
        """Tells the drill that Kafka has acknowledged the event with its intent."""
        self._intent_is_written.set()

    def join(self, within_s: float) -> None:
        """Waits for the thread's end, for at most `within_s`."""
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            self._phases()
        except DrillRejected as reason:
            if self._injection is not None:
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
            self._injector.close()

    def _phases(self) -> None:
        target = self._steady_state()
        self._inject(target)
        self._observe()
        undone = self._undo(self.plan.restore_within_s)
        self._emit(event_of(self.plan, "rolled_back", undone=undone.check, findings=[undone.line]))
        self._settle()
        self._judge(undone)

    # 1. steady state ------------------------------------------------------------------------------------------------

    def _steady_state(self) -> Target:
        """The target, after `before_s` of load; raises DrillRejected unless all of that was answered well."""
        self._target = chosen(self._injector, self._system)
        self._load.start()
        self._wait(lambda: False, self.plan.before_s)
        window_ends = time.monotonic()
        self._wait(lambda: not self._load.unanswered(window_ends), self.plan.answer_within_s)
        measured = measure(self._load.history())
        if self._load.broken:
            raise DrillRejected(f"nothing was injected: the drill's load failed ({self._load.broken})")
        refuse_if_unsteady(measured, self._load.unanswered(window_ends), self.plan.objectives)
        target = self._target = chosen(self._injector, self._system)
        p99_ms = measured.before.p99_ms or 0
        self._emit(
            event_of(
                self.plan,
                "steady_state",
                target=target.shown(self._system.service.requests),
                intent=self._intent(target),
                latency_before=measured.before,
                findings=[
                    f"passed: {measured.answered} requests answered ok, none doubled, p99 {p99_ms:.0f} ms",
                    f"passed: {target.named} is there, {target.standbys} standbys are ready",
                ],
            )
        )
        return target

    # 2. injection ---------------------------------------------------------------------------------------------------

    def _intent(self, target: Target) -> str:
        """Writes the intent's file, then returns the intent as text for the event; raises DrillRejected."""
        intent = intents.intent_of(self.plan, self._topic, target)
        try:
            intents.keep(intent)
        except (OSError, StandfastError) as error:
            raise DrillRejected(
                f"nothing was injected: what is about to be done cannot be written down ({error}), and nobody could "
                "undo it if this runner died"
            ) from None
        return intents.encoded(intent)

    def _inject(self, target: Target) -> None:
        self._wait_until_written()
        self._wait_until_cleared()
        if not intents.is_kept(intents.DrillKey(self._topic, self.plan.drill_id, self.plan.command)):
            raise DrillRejected("nothing was injected: its intent is gone, so another runner has ended the drill")
        self._injection = Finding("unknown", "whether the fault was injected is not known")
        try:
            fault = self._injector.inject()
        except DrillRejected:  # nothing was done
            self._injection = None
            raise
        self._load.struck(fault)
        self._load.send_now(target.partitions)
        self._injection = self._injector.injected(_SHOWN_WITHIN_S)
        self._emit(
            event_of(
                self.plan,
                "injected",
                target=target.shown(self._system.service.requests),
                injected=self._injection.check,
                findings=[self._injection.line],
            )
        )

    def _wait_until_written(self) -> None:
        """Waits 5 s at most until Kafka has acknowledged the intent; raises DrillRejected otherwise.

        This holds for a fault on Kafka too: until then Kafka must answer, or no abort could be read. While Kafka is
        down, the next runner reads the intent from its file.
        """
        if not self._wait(self._intent_is_written.is_set, _WRITTEN_WITHIN_S):
            raise DrillRejected(
                f"nothing was injected: Kafka did not acknowledge within {_WRITTEN_WITHIN_S:g} s that the drill was "
                f"about to strike, on {self._topic}; look at the brokers first"
            )

    def _wait_until_cleared(self) -> None:
        """Raises _Stopped if the drill was aborted, DrillRejected if the control topic cannot be read to its end.

        This process may have been suspended for a minute since it last read commands, and the client may have given up
        and sent an abort meanwhile: that must be read before the fault is injected, not after.
        """
        self._about_to_strike = True
        cleared = self._wait(lambda: time.monotonic() - self._cleared_at < _CLEAR_FOR_S, _CLEAR_WITHIN_S)
        self._about_to_strike = False
        if self._stop.is_set():
            raise _Stopped
        if time.monotonic() > self._deadline:
            raise DrillRejected(f"nothing was injected: the {self.plan.duration_s:g} s the drill may take were over")
        if not cleared:
            raise DrillRejected(
                "nothing was injected: drills.control cannot be read, so nobody knows whether the drill was called off"
            )

    # 3. observation -------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        plan_text = f"until its partitions answer again, at most {self.plan.recover_within_s:g} s"
        self._emit(event_of(self.plan, "observing", reason=f"{plan_text}, then {self.plan.after_s:g} s more"))
        if self._wait(self._load.recovered, self.plan.recover_within_s):
            measured = measure(self._load.history())
            self._emit(event_of(self.plan, "recovered", rto_ms=rounded(measured.rto_ms)))
            self._wait(lambda: False, self.plan.after_s)
        self._load.stop_sending()
        self._wait(self._injector.lasted, self.plan.recover_within_s, every=_STATUS_EVERY_S)

    def _settle(self) -> None:
        """Waits for the last answer, and then `SETTLE_S` for duplicates."""
        self._wait(lambda: not self._load.unanswered(), self.plan.answer_within_s)
        self._wait(lambda: False, SETTLE_S)

    # 4. undo --------------------------------------------------------------------------------------------------------

    def _undo(self, within_s: float) -> Finding:
        """Undoes the fault and returns whether nothing is left of it; blocks for at most `within_s`."""

        def healed() -> bool:
            self._undone = undoing.undo_and_check()
            return self._undone.check == "passed"

        undoing = Undoing(self._injector, self.plan.drill_id)
        if self._wait(healed, within_s, every=_STATUS_EVERY_S):
            self._load.healed(time.monotonic())
        assert self._undone is not None  # noqa: S101 - `healed` has set it
        return self._undone

    # 5. judgement ---------------------------------------------------------------------------------------------------

    def _judge(self, undone: Finding) -> None:
        assert self._injection is not None  # noqa: S101 - set by the injection
        history = self._load.history()
        self._keep(history)
        self._emit(judged(self.plan, self._shown_target(), self._injection, undone, history, self._load.broken))

    def _aborted(self, why: str) -> None:
        """Emits the final event of a drill that ends early; an injected fault is undone first."""
        self._load.stop_sending()
        if self._injection is not None:
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
                injected=self._injection.check if self._injection else None,
                undone=self._undone.check if self._undone else None,
                findings=[finding.line for finding in (self._injection, self._undone) if finding] or None,
            )
        )

    def _shown_target(self) -> dict[str, Scalar] | None:
        return self._target.shown(self._system.service.requests) if self._target else None

    def _keep(self, history: History) -> None:
        try:
            keep(self.plan.drill_id, history)
        except OSError as error:  # a full disk must not abort a drill that has its verdict
            _log.warning("the history of the drill could not be kept", drill_id=self.plan.drill_id, error=str(error))

    def _wait(self, done: Callable[[], bool], within_s: float, every: float = _TICK_S) -> bool:
        """Whether `done` became true in time; raises _Stopped."""
        deadline = min(time.monotonic() + within_s, self._deadline)
        while not done():
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return False
            if self._stop.wait(min(every, remaining_s)):
                raise _Stopped
        return True
