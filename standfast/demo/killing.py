"""The demo's last step: one word on the topic `drills.control` starts a drill that kills a worker under load."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from rich.console import Console

from drills.control.events import FINAL
from drills.reports.report import phase_line, verdict_table
from schemas.codec import Codec
from schemas.records import DrillEvent
from standfast.core import clients
from standfast.core.errors import NoAnswer
from standfast.core.settings import Settings
from standfast.demo.console_tools import produce
from standfast.demo.promises import Promise

DRILL = "worker-kill"
_RESULTS = "drills.results"
_VERDICT_WITHIN_S = 180.0
_TRIES = 3
_PAUSE_S = 5.0


def a_worker_dies(settings: Settings, console: Console) -> list[Promise]:
    """Starts the drill by its bare name, shows each phase as it happens, and the verdict.

    A drill is rejected while the system is slow already, as on a busy machine; it is then started again, twice at most.
    """
    with closing(_events(settings)) as events:
        for tries_left in reversed(range(_TRIES)):
            produce("drills.control", [DRILL], console)
            last = _last(events, console)
            if last.verdict != "rejected" or not tries_left:
                break
            console.print(f"\nNothing was harmed; once more in {_PAUSE_S:g} s.\n")
            time.sleep(_PAUSE_S)
    rto = f", served again after {last.rto_ms:.0f} ms" if last.rto_ms is not None else ""
    return [
        Promise("a worker killed under load is replaced", last.verdict == "passed", f"{last.verdict}{rto}"),
        Promise("no answer is lost by it", last.lost == 0, _counted(last.lost, "lost")),
        Promise("no answer comes twice", last.duplicated == 0, _counted(last.duplicated, "duplicated")),
    ]


def _last(events: Iterator[DrillEvent], console: Console) -> DrillEvent:
    """The drill's last event, with the verdict; shows each event before it."""
    for event in events:
        if event.phase in FINAL:
            console.print()
            console.print(verdict_table(event))
            return event
        console.print(phase_line(event))
    raise NoAnswer(f"the drill {DRILL} had no verdict within {_VERDICT_WITHIN_S:g} s")


def _counted(count: int | None, what: str) -> str:
    return "not measured" if count is None else f"{count} {what}"


def _events(settings: Settings) -> Generator[DrillEvent, None, None]:
    """The drill events of the demo's Kafka, from the beginning of the topic: all drills there are the demo's."""
    consumer = Consumer(clients.consumer(settings, "standfast-demo", "standfast-demo"))
    codec = Codec()
    deadline = time.monotonic() + _VERDICT_WITHIN_S
    try:
        consumer.assign([TopicPartition(_RESULTS, 0, OFFSET_BEGINNING)])
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                yield codec.decode(message.value(), DrillEvent)[0]
    finally:
        consumer.close()
