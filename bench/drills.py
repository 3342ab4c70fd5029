"""`python -m bench.drills`: what drills cost while none runs, and how soon commands, orders and the lever are obeyed.

On the running system, which must be whole; nothing but workers is struck, each by a drill that ends as any other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

from bench import processes
from bench.figures import quantile
from drills.control.events import FINAL, now_ms
from drills.control.outcomes import Outcomes
from drills.control.reader import TOPIC
from drills.control.sending import send
from drills.safety import lever
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent, Scalar
from standfast.core import clients, status
from standfast.core.errors import ClusterError
from standfast.core.processes.locating import located
from standfast.core.settings import Settings, load

_IDLE_S = 20.0
_COMMANDS = 50
_STRIKES = 5
_WITHIN_S = 120.0
_QUICK: dict[str, Scalar] = {"before_s": 1.0, "after_s": 1.0, "rate": 20.0, "p99_ms": 30_000.0, "rto_ms": 30_000.0}


def main() -> None:
    """Prints the figures."""
    settings = located(load())
    _print_idle()
    # One producer for all: a new idempotent producer takes half a second until it may send.
    producer = Producer(clients.producer(settings, "standfast-bench-drills"))
    accepted = [_accepted_after(settings, producer, number) for number in range(_COMMANDS + 1)][1:]
    _print("command → accepted", accepted, "p99 100 ms")
    _print("steady state → injected", [_injected_after(settings, number) for number in range(_STRIKES)], "150 ms")
    _print("lever → undone", [_undone_after(settings, number) for number in range(_STRIKES)], "2 s")


def _print(what: str, times_ms: list[float], reach: str) -> None:
    p50, p99 = (quantile(times_ms, share) for share in (0.5, 0.99))
    worst = max(times_ms)
    sys.stdout.write(f"{what:24} p50 {p50:.0f} ms  p99 {p99:.0f}  worst {worst:.0f}  (n {len(times_ms)}; {reach})\n")


def _print_idle() -> None:
    """What the runner and this host's agent use while nothing is asked of them."""
    running = status.read()
    roles = {row.id: row.pid for row in running.roles if row.id in {"drills", "agent"}} if running else {}
    if len(roles) < 2:
        raise ClusterError("no system with a drill runner and a fault agent runs here; start one: standfast up")
    before = processes.cpu_seconds(roles.values())
    time.sleep(_IDLE_S)
    share = (processes.cpu_seconds(roles.values()) - before) / _IDLE_S
    memory = {name: processes.memory_mb([pid]) for name, pid in roles.items()}
    told = ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory.items())
    sys.stdout.write(f"idle: {share:.2%} of a core, {sum(memory.values()):.0f} MB ({told}; 0.5 %, 60 MB)\n")


def _accepted_after(settings: Settings, producer: Producer, number: int) -> float:
    drill_id = _drill_id("dry", number)
    with _events(settings, drill_id) as events:
        value = Codec().encode(DrillCommand(drill="worker-kill", drill_id=drill_id, dry_run=True), Encoding.JSON)
        at = now_ms()
        producer.produce(settings.kafka.topic_prefix + TOPIC, value, drill_id)
        producer.flush(_WITHIN_S)
        accepted = _first(events, "accepted")
        _first(events, *FINAL)
    return accepted.at - at


def _injected_after(settings: Settings, number: int) -> float:
    drill_id = _drill_id("kill", number)
    with _events(settings, drill_id) as events:
        send(DrillCommand(drill="worker-kill", drill_id=drill_id, params=_QUICK), drill_id, settings)
        shown, injected = _first(events, "steady_state"), _first(events, "injected")
        _first(events, *FINAL)
    return injected.at - shown.at


def _undone_after(settings: Settings, number: int) -> float:
    drill_id = _drill_id("freeze", number)
    params: dict[str, Scalar] = {**_QUICK, "at_most_s": 60.0, "after_s": 30.0}
    with _events(settings, drill_id) as events:
        send(DrillCommand(drill="worker-freeze", drill_id=drill_id, params=params), drill_id, settings)
        _first(events, "injected")
        at = now_ms()
        lever.set_lever(engage=True, reason="measured by bench.drills")
        try:
            last = _first(events, *FINAL)
        finally:
            lever.set_lever(engage=False)
    return last.at - at


def _drill_id(what: str, number: int) -> str:
    return f"bench-{what}-{time.time_ns() // 1_000_000}-{number}"


@contextmanager
def _events(settings: Settings, drill_id: str) -> Iterator[Iterator[DrillEvent]]:
    outcomes = Outcomes(settings, Codec(), "standfast-bench-drills")
    outcomes.go_to_end()
    try:
        yield outcomes.following(drill_id, _WITHIN_S)
    finally:
        outcomes.close()


def _first(events: Iterator[DrillEvent], *phases: str) -> DrillEvent:
    for event in events:
        if event.phase in phases:
            return event
        if event.phase in FINAL:
            raise ClusterError(f"{event.drill_id} ended as {event.phase}: {event.reason}")
    raise ClusterError(f"no {' or '.join(phases)} came within {_WITHIN_S:g} s")


if __name__ == "__main__":
    main()
