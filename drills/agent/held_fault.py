"""One fault on the agent's host, in a thread of its own: injected once ordered, undone once ordered or left alone.

A fault may wait for Kafka or for a process; in one thread with others it would hold up their undo.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

import msgspec
import structlog

from drills.agent import files
from drills.agent.files import FaultIntent
from drills.agent.messages import FaultName, FaultOrder, FaultReport, boot, since_boot
from drills.agent.undoing import Undoing
from drills.evidence.verdict import Finding
from drills.faults.injector import Injector, Target, response_of
from standfast.core.errors import DrillRejected, StandfastError

_LOOK_EVERY_S = 0.1  # whether the fault has lasted, and whether anything is left of it
_SHOWN_WITHIN_S = 5.0  # for the fault to take effect once it was injected
_TICKET_S = 5.0  # from the choice of the victims to the order to inject
_LONGEST_LEASE_S = 60.0
_PATIENT_S = 60.0  # an undo that has not succeeded by then is checked less often
_SLOW_LOOK_S = 2.0
_FORSAKEN_S = 60.0  # without an order, nobody asks any more for a fault that is not injected
_GIVES_UP_S = 600.0  # a worker that was killed may have been scaled away since: nobody starts it again
_log = structlog.get_logger()


class HeldFault:
    """One fault. `report` is called from its thread whenever what is known of the fault changes.

    `ends_agent`: the fault ends this process too. `report` is called with True then, before the fault is injected, and
    returns only once Kafka has the report; whether the fault took effect is for the next agent to see.
    """

    def __init__(
        self,
        injector: Injector,
        first: FaultReport,
        topic: str,
        report: Callable[[FaultReport, bool], None],
        ends_agent: bool = False,
    ) -> None:
        self.name = first.name
        self._injector = injector
        self._topic = topic
        self._send = report
        self._ends_agent = ends_agent
        self._report = first
        self._undoing = Undoing(injector, first.name.key)
        self._order: FaultOrder | None = None
        self._heard_at = since_boot()
        self._issued_at = float("-inf")  # of the ticket
        self._undoing_since = float("inf")
        self._halt = ""
        self._closing = False
        self._woken = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"fault-{first.name.key}", daemon=True)

    def start(self) -> None:
        """Starts the thread; returns at once."""
        self._thread.start()

    def obey(self, order: FaultOrder) -> None:
        """Takes the order; returns at once."""
        with self._woken:
            self._order = order
            self._heard_at = since_boot()
            self._woken.notify()

    def renew(self) -> None:
        """Its runner lives: the lease begins anew."""
        self._heard_at = since_boot()

    def halt(self, reason: str) -> None:
        """Undoes the fault without an order; returns at once."""
        with self._woken:
            self._halt = reason
            self._woken.notify()

    def close(self) -> None:
        """Undoes the fault if it lasts, then ends the thread; returns at once."""
        with self._woken:
            self._closing = True
            self._woken.notify()

    def join(self, within_s: float) -> bool:
        """Whether the fault's thread has ended; waits for it, at most `within_s` seconds."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    @property
    def is_over(self) -> bool:
        """Whether the fault's thread has ended."""
        return not self._thread.is_alive()

    @property
    def is_closing(self) -> bool:
        """Whether it is to end and there is nothing to undo: an order now is for a new fault of the same name."""
        return self._closing and not self.is_injected

    @property
    def is_injected(self) -> bool:
        """Whether the fault may have been injected and is not seen to be undone."""
        return self._report.state in {"injected", "undoing"} and not self._is_undone()

    @property
    def is_forsaken(self) -> bool:
        """Whether it is not injected and its runner has not been heard for a minute."""
        return not self.is_injected and since_boot() - self._heard_at > _FORSAKEN_S

    def _run(self) -> None:
        try:
            self._resume()
            while not self._is_finished():
                before = self._order
                self._step()
                with self._woken:
                    if before is self._order:  # nothing came meanwhile
                        self._woken.wait(self._pause_s())
        except Exception:
            _log.exception("a fault's thread broke down; the next agent undoes the fault", fault=self.name.key)
            raise
        finally:
            self._injector.close()

    def _resume(self) -> None:
        """Finds the processes again of a fault that another agent, or an order, has told of."""
        if self._report.state == "undoing" and self._report.target is not None:
            self._tell(injection=self._injector.resume(self._report.target))

    def _pause_s(self) -> float:
        if not self.is_injected:
            return 1.0
        return _LOOK_EVERY_S if since_boot() - self._undoing_since < _PATIENT_S else _SLOW_LOOK_S

    def _is_finished(self) -> bool:
        if not self._closing:
            return False
        if self.is_injected and since_boot() - self._undoing_since > _GIVES_UP_S:
            why = self._report.undone.text if self._report.undone else "its undo never succeeded"
            files.put_aside(self._topic, self.name, f"it could not be undone: {why}")
            return True
        return not self.is_injected

    def _step(self) -> None:
        order = self._order
        if self.is_injected:
            self._look_after(order)
        elif order is not None and order.ask != self._report.ask:
            self._answer(order)

    # before the fault ------------------------------------------------------------------------------------------------

    def _answer(self, order: FaultOrder) -> None:
        """Answers a question about a fault that is not injected, or was undone."""
        if self._is_undone() or self._report.state == "refused" or order.wanted == "undone":
            undone = self._report.undone or Finding("passed", "no such fault lasts on this host")
            self._tell(ask=order.ask, lasted=True, undone=undone)
        elif order.wanted == "chosen":
            self._choose(order)
        else:
            self._inject(order)

    def _choose(self, order: FaultOrder) -> None:
        try:
            target = self._injector.choose()
        except StandfastError as error:
            self._tell(ask=order.ask, state="refused", reason=str(error))
            return
        self._issued_at = since_boot()
        self._tell(ask=order.ask, state="chosen", target=target, ticket=secrets.token_hex(8))

    def _inject(self, order: FaultOrder) -> None:
        """Injects the fault, once its intent is on disk."""
        target = self._report.target
        if target is None or order.ticket != self._report.ticket or since_boot() - self._issued_at > _TICKET_S:
            self._tell(ask=order.ask, state="refused", reason="the order to inject it came too late")
            return
        try:
            files.keep(FaultIntent(self.name, self._topic, order.service, order.fault, order.aim, target))
        except (OSError, StandfastError) as error:
            why = f"what is about to be done cannot be written down ({error}), and nobody could undo it afterwards"
            self._tell(ask=order.ask, state="refused", reason=why)
            return
        if self._ends_agent:
            self._tell(True, ask=order.ask, state="injected", struck=target.struck(order.fault, time.monotonic()))
        self._strike(order)

    def _strike(self, order: FaultOrder) -> None:
        try:
            struck = self._injector.inject()
        except DrillRejected as error:
            files.forget(self._topic, self.name)
            self._tell(ask=order.ask, state="refused", reason=str(error))
        except Exception as error:  # noqa: BLE001 - nobody knows how far the injection came: it is undone
            _log.exception("a fault broke down while it was injected", fault=self.name.key)
            reason = f"the fault broke down ({type(error).__name__}: {error})"
            unknown = Finding("unknown", "whether the fault was injected is not known")
            self._tell(ask=order.ask, state="injected", injection=unknown, reason=reason)
            self.halt(reason)
        else:
            self._tell(ask=order.ask, state="injected", struck=struck)
            self._check_injection()

    def _check_injection(self) -> None:
        try:
            injection = self._injector.injected(_SHOWN_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - nobody has seen the fault then
            _log.exception("whether a fault took effect cannot be seen", fault=self.name.key)
            injection = Finding("unknown", f"whether it took effect is not known ({type(error).__name__}: {error})")
        self._tell(injection=injection)

    # after it ---------------------------------------------------------------------------------------------------------

    def _look_after(self, order: FaultOrder | None) -> None:
        if not self._report.lasted and self._has_lasted():
            self._tell(lasted=True)
        why = self._why_undo(order)
        if why is None:
            if order is not None and order.ask != self._report.ask:
                self._tell(ask=order.ask)  # a question about a fault that lasts
            return
        self._undoing_since = min(self._undoing_since, since_boot())
        if self._report.state != "undoing":
            self._tell(state="undoing", lasted=True, response=self._response(), reason=why or self._report.reason)
        undone = self._undoing.undo_and_check()
        ask = order.ask if order is not None and order.wanted == "undone" else self._report.ask
        if (undone, ask) != (self._report.undone, self._report.ask):
            self._tell(undone=undone, ask=ask)
        if self._is_undone():
            files.forget(self._topic, self.name)

    def _has_lasted(self) -> bool:
        try:
            return self._injector.lasted()
        except Exception as error:  # noqa: BLE001 - a fault that cannot tell is undone at once
            _log.exception("whether a fault has lasted cannot be seen", fault=self.name.key)
            self.halt(f"whether the fault has lasted cannot be seen ({type(error).__name__}: {error})")
            return True

    def _response(self) -> Finding | None:
        """How the system met the fault, where only the fault can tell."""
        try:
            return response_of(self._injector)
        except Exception as error:  # noqa: BLE001 - whatever it was, the undo must not wait for it
            _log.exception("how the system met a fault cannot be seen", fault=self.name.key)
            return Finding("unknown", f"how the system met it cannot be seen ({type(error).__name__}: {error})")

    def _why_undo(self, order: FaultOrder | None) -> str | None:
        """Why the fault is to be undone now, "" if the runner ordered it; None: it is not to be undone."""
        if self._report.state == "undoing" or (order is not None and order.wanted == "undone"):
            return ""
        if self._halt or self._closing:
            return self._halt or "the agent was stopped"
        lease_s = min(order.lease_s if order is not None else 0.0, _LONGEST_LEASE_S)
        if since_boot() - self._heard_at > lease_s:
            return f"its lease of {lease_s:g} s ended: no drill runner was heard"
        return None

    def _is_undone(self) -> bool:
        return self._report.undone is not None and self._report.undone.check == "passed"

    def _tell(self, and_wait: bool = False, **changes: object) -> None:
        self._report = msgspec.structs.replace(self._report, boot=boot(), **changes)
        self._send(self._report, and_wait)


def left_behind(name: FaultName, target: Target, reason: str) -> FaultReport:
    """The first report of a fault of which this agent only knows the victims; it is undone at once."""
    return FaultReport(name=name, ask=0, state="undoing", boot=boot(), reason=reason, target=target, lasted=True)
