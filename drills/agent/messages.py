"""What the drill runner and the fault agents write to `drills.orders`, all to its first partition, compacted by key.

The runner writes one order per fault and writes it anew when it changes; the agent of the order's host writes one
report per fault. Both describe a state, not an event: whoever misses a record goes by the next one. A runner also
writes a sign of life once a second, which renews the leases of the faults that it has ordered.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import msgspec

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Target

TOPIC = "drills.orders"
PARTITION = 0  # named by who writes: if somebody adds partitions, a key would choose another, which nobody reads
LIFE_KEY = b"runner"
LIFE_EVERY_S = 1.0  # between two signs of life of the runner
_REPORT = "/report"
Wanted = Literal["chosen", "injected", "undone"]
State = Literal["chosen", "refused", "injected", "undoing"]


class SignOfLife(msgspec.Struct, frozen=True, kw_only=True, tag="life"):
    """A runner lives. `runner` is its random id, `host` its host's key."""

    runner: str
    host: str


class FaultName(msgspec.Struct, frozen=True, kw_only=True):
    """The name of one fault: the `number`-th of a drill, on one host."""

    drill_id: str
    number: int
    host: str

    @property
    def key(self) -> str:
        """The key of its order."""
        return f"{self.drill_id}@{self.host}#{self.number}"


class FaultOrder(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """The state in which the runner wants one fault.

    Args:
        runner: who orders; an agent obeys only the runner that has taken over last.
        ask: grows with every question, so that a report tells which one it answers.
        ticket: of the report on which the order to inject is based. An agent that was stopped for a while, or a later
            agent, does not inject for an old ticket: nobody may want the fault any more.
        lease_s: the agent undoes the fault when it has heard nothing of the runner for so long.
        target: the victims of a fault that is to be undone, for an agent that knows nothing of it any more.
    """

    runner: str
    name: FaultName
    service: str
    fault: str
    aim: Aim
    wanted: Wanted
    ask: int
    lease_s: float
    ticket: str = ""
    target: Target | None = None


class FaultReport(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """What the agent last saw of one fault.

    Args:
        ask: the question that this answers, or the last one answered.
        boot: the machine's boot: monotonic times of the report can be compared only within one boot.
        reason: why it was refused, what broke, or why the agent undid the fault without an order.
        struck: the fault's start, in the agent's monotonic time; None if nothing was injected.
        injection: whether it took effect; None until that is known.
        lasted: whether it has lasted as long as it is meant to.
        response: how the system met it, as far as only the fault can tell; None for most faults.
        undone: whether anything is left of it; None until the undo was tried.
    """

    name: FaultName
    ask: int
    state: State
    boot: str
    ticket: str = ""
    reason: str = ""
    target: Target | None = None
    struck: Fault | None = None
    injection: Finding | None = None
    lasted: bool = False
    response: Finding | None = None
    undone: Finding | None = None


Message = SignOfLife | FaultOrder | FaultReport
_decoder = msgspec.json.Decoder(Message)


def encoded(message: Message) -> bytes:
    """The message as JSON."""
    return msgspec.json.encode(message)


def decoded(value: bytes | None) -> Message | None:
    """The message in a record's value; None if it is none: anybody may write to the topic."""
    try:
        return _decoder.decode(value) if value is not None else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def key_of(message: Message) -> bytes:
    """The key of the message's record."""
    if isinstance(message, SignOfLife):
        return LIFE_KEY
    key = message.name.key + (_REPORT if isinstance(message, FaultReport) else "")
    return key.encode(errors="replace")


def boot() -> str:
    """The id of this boot of the machine; "" where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def since_boot() -> float:
    """Seconds since the machine was booted, counting the time in which it was suspended: a lease runs on meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
