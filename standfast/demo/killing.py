"""The demo's last step: one word on a topic starts a drill that kills a worker under load."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from rich.console import Console

from drills.events import FINAL
from drills.report import phase_line, verdict_table
from schemas.codec import Codec
from schemas.records import DrillEvent
from standfast import clients
from standfast.demo.console_tools import produce
from standfast.demo.promises import Promise
from standfast.errors import NoAnswer
from standfast.settings import Settings

DRILL = "worker-kill"
_RESULTS = "drills.results"
_VERDICT_WITHIN_S = 120.0


def a_worker_dies(settings: Settings, console: Console) -> list[Promise]:
    """Starts the drill by its bare word, shows each phase as it happens, and the verdict."""
    produce("drills.control", [DRILL], console)
    last = None
    for event in _events(settings):
        if event.phase not in FINAL:
            console.print(phase_line(event))
            continue
        last = event
        break
    if last is None:
        raise NoAnswer(f"the drill {DRILL} had no verdict within {_VERDICT_WITHIN_S:g} s")
    console.print()
    console.print(verdict_table(last))
    rto = f", served again after {last.rto_ms:.0f} ms" if last.rto_ms is not None else ""
    return [
        Promise("a worker killed under load is replaced", last.verdict == "passed", f"{last.verdict}{rto}"),
        Promise("no answer is lost by it", last.lost == 0, f"{last.lost} lost"),
        Promise("no answer comes twice", last.duplicated == 0, f"{last.duplicated} duplicated"),
    ]


def _events(settings: Settings) -> Iterator[DrillEvent]:
    """The outcome stream of the demo's own Kafka from its start; this is its only drill."""
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
