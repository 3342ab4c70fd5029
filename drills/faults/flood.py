"""Many more requests than usual, over all partitions, each with a deadline."""

from __future__ import annotations

import time

from confluent_kafka import Producer

from consumers.requests.admission import DEADLINE_HEADER
from drills.faults.extra import extra_headers
from drills.faults.hot_key import HotKey
from drills.faults.injector import Kind
from drills.faults.kafka_fault import KafkaFault
from drills.params import Param


class Flood(HotKey):
    """Sends `per_s` requests a second for `at_most_s`, however slowly they are answered: callers know of no queue."""

    name = "load-flood"

    def hit(self) -> tuple[tuple[int, ...], ...]:
        """All partitions, worker by worker."""
        return KafkaFault.hit(self)

    def write_one(
        self, producer: Producer, number: int, value: bytes | None, mark: int | str, within_ms: float
    ) -> None:
        """Writes request `number`, in turn over the partitions; `mark` names its record among the fault's."""
        partitions = self.target.partitions
        until_ms = time.time() * 1000 + within_ms
        headers = {**extra_headers(self.aim, mark), DEADLINE_HEADER: str(int(until_ms))}
        producer.produce(self.topic, value, None, partitions[number % len(partitions)], headers=headers)

    def _write(self, producer: Producer, number: int, value: bytes | None, key: bytes | None = None) -> None:  # noqa: ARG002
        self.write_one(producer, number, value, number, float(self.aim.params["each_within_ms"]))


FLOOD = Kind(
    "load-flood",
    "many requests over all partitions, more than can be computed in time",
    Flood,
    undo="sending stops; the drill checks that each of these requests is answered, be it with deadline_exceeded",
    params=(
        Param("per_s", 2000.0, "requests a second", 1, 100_000),
        Param("each_within_ms", 1000.0, "each has to be answered within so long, or is not computed", 1, 600_000),
        Param("at_most_s", 5.0, "it stops after so long", 0.1, 300),
    ),
    figure=None,
)
