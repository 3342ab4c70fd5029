"""One drill from steady state to verdict, in a thread of its own.

Every wait ends at its own limit, at the drill's `duration_s`, or at once when the drill is told to stop.
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
from drills.running.choice import chosen, scene_of
from drills.running.judging import judged, rounded
from drills.running.plan import SETTLE_S, Plan
from drills.running.steadiness import refuse_if_unsteady
from drills.running.undoing import Undoing
from schemas.records import DrillEvent, Scalar
from standfast.core.errors import DrillRejected, StandfastError
from standfast.core.settings import Settings

_TICK_S = 0.01
_STATUS_EVERY_S = 0.1
_WRITTEN_WITHIN_S = 5.0
_SHOWN_WITHIN_S = 5.0
_CLEAR_WITHIN_S = 10.0
_CLEAR_FOR_S = 1.0
Emit = Callable[[DrillEvent], None]
_log = structlog.get_logger()


class _Stopped(Exception):
    """The drill was told to stop."""


class Execution:
    """A running drill. `emit` is called from its thread with each phase; the last one is always a final event."""

    def __init__(self, plan: Plan, settings: Settings, emit: Emit) -> None:
        self.plan = plan
        self._settings = settings
        self._scene = scene_of(plan, settings)
        self._emit = emit
        self._stop = threading.Event()
        self._why = ""
        self._undo_within_s = 5.0
        self._until = time.monotonic() + plan.duration_s
        self._about_to_strike = False
        self._cleared_at = float("-inf")
        self._injector: Injector = plan.kind.make(self._scene, plan.aim)
        self._target: Target | None = None
        self._struck: Finding | None = None
        self._undone: Finding | None = None
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._intent_is_written = threading.Event()
        self._load = Load(settings, self._scene.service, plan.drill_id, plan.rate, plan.queries)
        self._thread = threading.Thread(target=self._run, name=f"drill-{plan.drill_id}", daemon=True)

    def start(self) -> None:
        """Begins; returns at once."""
        self._thread.start()

    def stop(self, why: str, undo_within_s: float) -> None:
        """Ends the drill early as `aborted`; returns at once. The undo is looked after for so long at most."""
        self._why = why
        self._undo_within_s = undo_within_s
        self._stop.set()

    @property
    def overdue_s(self) -> float:
        """For how long it should have ended by now; below 0 before that."""
        return time.monotonic() - self._until

    def running(self) -> bool:
        """Whether its final event is still to come."""
        return self._thread.is_alive()

    @property
    def about_to_strike(self) -> bool:
        """Whether it waits for `clear`."""
        return self._about_to_strike

    def clear(self) -> None:
        """Says that no command sent up to now stops this drill: it may strike within the next second."""
        self._cleared_at = time.monotonic()

    def intent_is_written(self) -> None:
        """Says that Kafka has acknowledged the event with the intent."""
        self._intent_is_written.set()

    def join(self, within_s: float) -> None:
        """Waits for its end, which is soon when it was stopped."""
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            self._phases()
        except DrillRejected as reason:
            if self._struck is not None:
                self._aborted(str(reason))
                return
            self._emit(event_of(self.plan, "rejected", reason=str(reason), verdict="rejected"))
        except _Stopped:
            self._aborted(self._why)
        except Exception as error:  # noqa: BLE001 - whatever it is, the drill needs a last event
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
        """The target, after `before_s` of load that was answered in full; raises DrillRejected if it was not."""
        self._target = chosen(self._injector, self._scene)
        self._load.start()
        self._wait(lambda: False, self.plan.before_s)
        window_ends = time.monotonic()
        self._wait(lambda: not self._load.unanswered(window_ends), self.plan.answer_within_s)
        seen = measure(self._load.history())
        if self._load.broken:
            raise DrillRejected(f"nothing was injected: the drill's load failed ({self._load.broken})")
        refuse_if_unsteady(seen, self._load.unanswered(window_ends), self.plan.objectives)
        target = self._target = chosen(self._injector, self._scene)
        self._emit(
            event_of(
                self.plan,
                "steady_state",
                target=target.shown(self._scene.service.requests),
                intent=self._intent(target),
                latency_before=seen.before,
                findings=[
                    f"passed: {seen.answered} requests answered ok, none doubled, p99 {seen.before.p99_ms or 0:.0f} ms",
                    f"passed: {target.named} is there, {target.standbys} standbys are ready",
                ],
            )
        )
        return target

    # 2. injection ---------------------------------------------------------------------------------------------------

    def _intent(self, target: Target) -> str:
        """The intent as it stands in the event, once it is on the disk; raises DrillRejected."""
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
        if not intents.is_kept(intents.Whose(self._topic, self.plan.drill_id, self.plan.command)):
            raise DrillRejected("nothing was injected: its intent is gone, so another runner has ended the drill")
        self._struck = Finding("unknown", "whether the fault was injected is not known")
        try:
            fault = self._injector.inject()
        except DrillRejected:  # nothing was done then
            self._struck = None
            raise
        self._load.struck(fault)
        self._load.send_now(target.partitions)
        self._struck = self._injector.injected(_SHOWN_WITHIN_S)
        self._emit(
            event_of(
                self.plan,
                "injected",
                target=target.shown(self._scene.service.requests),
                injected=self._struck.check,
                findings=[self._struck.line],
            )
        )

    def _wait_until_written(self) -> None:
        """Raises DrillRejected unless Kafka has acknowledged the intent, for 5 s at most.

        The same holds where Kafka itself is to be struck: until then it has to answer, else no abort could be read.
        While it is struck, the file is what the next runner goes by.
        """
        if not self._wait(self._intent_is_written.is_set, _WRITTEN_WITHIN_S):
            raise DrillRejected(
                f"nothing was injected: Kafka did not acknowledge within {_WRITTEN_WITHIN_S:g} s that the drill was "
                f"about to strike, on {self._topic}; look at the brokers first"
            )

    def _wait_until_cleared(self) -> None:
        """Raises _Stopped if the drill was called off, DrillRejected if nobody can say whether it was.

        This process may have been stopped for a minute since it looked, and whoever asked for the drill may have given
        up meanwhile and sent an abort: it must be read before the fault, not after.
        """
        self._about_to_strike = True
        cleared = self._wait(lambda: time.monotonic() - self._cleared_at < _CLEAR_FOR_S, _CLEAR_WITHIN_S)
        self._about_to_strike = False
        if self._stop.is_set():
            raise _Stopped
        if time.monotonic() > self._until:
            raise DrillRejected(f"nothing was injected: the {self.plan.duration_s:g} s the drill may take were over")
        if not cleared:
            raise DrillRejected(
                "nothing was injected: drills.control cannot be read, so nobody knows whether the drill was called off"
            )

    # 3. observation -------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        waits = f"until its partitions answer again, at most {self.plan.recover_within_s:g} s"
        self._emit(event_of(self.plan, "observing", reason=f"{waits}, then {self.plan.after_s:g} s more"))
        if self._wait(self._load.recovered, self.plan.recover_within_s):
            seen = measure(self._load.history())
            self._emit(event_of(self.plan, "recovered", rto_ms=rounded(seen.rto_ms)))
            self._wait(lambda: False, self.plan.after_s)
        self._load.stop_sending()
        self._wait(self._injector.lasted, self.plan.recover_within_s, every=_STATUS_EVERY_S)

    def _settle(self) -> None:
        """Until the last answer, and a little longer for a second copy of one."""
        self._wait(lambda: not self._load.unanswered(), self.plan.answer_within_s)
        self._wait(lambda: False, SETTLE_S)

    # 4. undo --------------------------------------------------------------------------------------------------------

    def _undo(self, within_s: float) -> Finding:
        """Takes the fault away, and says whether nothing is left of it; blocks for at most `within_s`."""

        def healed() -> bool:
            self._undone = undoing.again()
            return self._undone.check == "passed"

        undoing = Undoing(self._injector, self.plan.drill_id)
        if self._wait(healed, within_s, every=_STATUS_EVERY_S):
            self._load.healed(time.monotonic())
        assert self._undone is not None  # noqa: S101 - `healed` has set it
        return self._undone

    # 5. judgement ---------------------------------------------------------------------------------------------------

    def _judge(self, undone: Finding) -> None:
        assert self._struck is not None  # noqa: S101 - set by the injection
        history = self._load.history()
        self._keep(history)
        self._emit(judged(self.plan, self._shown_target(), self._struck, undone, history, self._load.broken))

    def _aborted(self, why: str) -> None:
        """The final event of a drill that ends early; what was injected is taken away first."""
        self._load.stop_sending()
        if self._struck is not None:
            self._stop.clear()
            self._until = time.monotonic() + self._undo_within_s
            with suppress(_Stopped):
                self._undo(self._undo_within_s)
        self._emit(
            event_of(
                self.plan,
                "aborted",
                reason=why,
                verdict="aborted",
                target=self._shown_target(),
                injected=self._struck.check if self._struck else None,
                undone=self._undone.check if self._undone else None,
                findings=[finding.line for finding in (self._struck, self._undone) if finding] or None,
            )
        )

    def _shown_target(self) -> dict[str, Scalar] | None:
        return self._target.shown(self._scene.service.requests) if self._target else None

    def _keep(self, history: History) -> None:
        try:
            keep(self.plan.drill_id, history)
        except OSError as error:  # a full disk must not turn a judged drill into an aborted one
            _log.warning("the history of the drill could not be kept", drill_id=self.plan.drill_id, error=str(error))

    def _wait(self, done: Callable[[], bool], within_s: float, every: float = _TICK_S) -> bool:
        """Whether it was done in time; raises _Stopped."""
        until = min(time.monotonic() + within_s, self._until)
        while not done():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if self._stop.wait(min(every, left)):
                raise _Stopped
        return True
