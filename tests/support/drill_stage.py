"""The two drill topics of one test, as a user's own programs would use them, and a runner in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition

from drills.control.events import FINAL
from drills.control.outcomes import Outcome, Outcomes
from drills.running.runner import Runner
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import clients
from standfast.core.settings import Settings
from tests.waiting import wait_until


class Stage:
    """The two drill topics of one test, as a user's own programs would use them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._codec = Codec()
        self._producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
        self._reader = Outcomes(settings, self._codec, "test")
        self.topic = settings.kafka.topic_prefix + "drills.control"

    def close(self) -> None:
        self._reader.close()

    def send(self, value: bytes | None, key: bytes | None = None) -> None:
        self._producer.produce(self.topic, value, key)
        assert self._producer.flush(10) == 0

    def order(self, encoding: Encoding = Encoding.JSON, **fields: object) -> None:
        self.send(self._codec.encode(DrillCommand(**fields), encoding))  # type: ignore[arg-type]

    def outcomes(self) -> list[Outcome]:
        return self._reader.from_the_start()

    def events(self, drill_id: str) -> list[DrillEvent]:
        return [one.event for one in self.outcomes() if one.event.drill_id == drill_id]

    def phases(self, drill_id: str) -> list[str]:
        return [event.phase for event in self.events(drill_id)]

    def reached(self, drill_id: str, phase: str, within: float = 30) -> None:
        wait_until(lambda: phase in self.phases(drill_id), within, every=0.1, what=f"{phase} of {drill_id}")

    def last(self, drill_id: str, within: float = 120) -> DrillEvent:
        def final() -> list[DrillEvent]:
            return [event for event in self.events(drill_id) if event.phase in FINAL]

        (last,) = wait_until(final, within, every=0.1, what=f"the last event of {drill_id}")
        return last

    def dead_letters(self) -> list[tuple[bytes, dict[str, bytes]]]:
        consumer = Consumer(clients.consumer(self.settings, "test", "test"))
        consumer.assign([TopicPartition(f"{self.topic}.dlq", 0, 0)])
        found: list[tuple[bytes, dict[str, bytes]]] = []
        while (message := consumer.poll(1 if found else 10)) is not None:
            found.append((message.value(), dict(message.headers() or ())))
        consumer.close()
        return found


@contextmanager
def runner_in_a_thread(settings: Settings) -> Iterator[threading.Thread]:
    """A drill runner for the length of the block; it has no process of its own, so that it starts at once."""
    stopping = threading.Event()
    running = threading.Thread(target=Runner(settings, Codec(), stopping).run, daemon=True)
    running.start()
    try:
        yield running
    finally:
        stopping.set()
        running.join(30)
        assert not running.is_alive(), "the runner does not end"
