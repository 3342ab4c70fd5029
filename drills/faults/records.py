"""The base of faults that write records to one partition of the request topic: each has to be answered or set aside."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Producer

from drills.evidence.verdict import Finding
from drills.faults.extra import extra_headers
from drills.faults.injector import Target
from drills.faults.kafka_fault import KafkaFault
from drills.faults.traces import Traces, ends, traces
from schemas.records import Scalar
from standfast.core import clients
from standfast.core.errors import ClusterError

_DELIVERED_WITHIN_S = 10.0


class Records(KafkaFault):
    """Writes `values` to the partition that the aim names, else to one by the seed.

    Records cannot be taken out of a topic again. The fault is over when each of them is answered, or a dead letter with
    its cause, and no worker has died of them, unless `may_kill` says that it may.
    """

    what = "records"

    def values(self) -> Iterator[bytes | None]:
        """The records to write."""
        raise NotImplementedError

    def may_kill(self) -> bool:
        """Whether they are meant to kill workers."""
        return False

    def hit(self) -> tuple[tuple[int, ...], ...]:
        """That partition."""
        return ((self.partition(),),)

    def before(self) -> Mapping[str, Scalar]:
        """The ends of the topics, from which the records are looked for, and how often workers were restarted."""
        return {**ends(self.system), "restarts": self._restarts()}

    def strike(self) -> None:
        """Writes them, and waits until Kafka has taken all."""
        producer = Producer(clients.requests(self.system.settings, "standfast-faults"))
        for number, value in enumerate(self.values()):
            self._write(producer, number, value)
        producer.flush(_DELIVERED_WITHIN_S)

    def injected(self, within_s: float) -> Finding:
        """Whether they lie in the request topic."""
        deadline, wanted = time.monotonic() + within_s, self.least()
        while True:
            try:
                seen = self._look()
            except ClusterError as error:
                return Finding("unknown", f"whether the records were written is not known: {error}")
            text = f"{len(seen.sent)} records lie in {self.system.service.requests} {list(self.target.partitions)}"
            if len(seen.sent) >= wanted:
                return Finding("passed", text)
            if time.monotonic() >= deadline:
                return Finding("failed", f"{text}; {wanted} were to be written")

    def least(self) -> int:
        """How many records make the fault."""
        return sum(1 for _ in self.values())

    def undone(self) -> Finding:
        """Whether each is answered or a dead letter, and no worker has died of them."""
        seen, died = self._look(), self._restarts() - int(str(self.target.before["restarts"]))
        if not seen.sent:
            return Finding("passed", "no record was written")
        if seen.left:
            return Finding("failed", f"{len(seen.left)} records are neither answered nor set aside; {seen.text}")
        if died > 0 and not self.may_kill():
            return Finding("failed", f"workers were restarted {died} times meanwhile; {seen.text}")
        return Finding("passed", f"{seen.text}; workers were restarted {max(0, died)} times")

    def resume(self, target: Target) -> Finding:
        """`passed` if they lie in the request topic, `failed` if none of them does: they stay there."""
        self.target = target
        found = self.injected(0)
        return found if self._look().sent else Finding("failed", "no record of the drill lies in the request topic")

    def _write(self, producer: Producer, number: int, value: bytes | None, key: bytes | None = None) -> None:
        (partition,) = self.target.partitions
        headers = extra_headers(self.aim, number)
        producer.produce(self.system.service.requests, value, key, partition, headers=headers)

    def _look(self) -> Traces:
        return traces(self.system, self.aim, self.target.before)

    def _restarts(self) -> int:
        service = self.system.service
        return sum(row.restarts for row in self.system.status().workers if row.service == service.name)
