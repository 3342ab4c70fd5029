"""The base of faults in which strangers join the service's consumer group, take partitions, and read nothing of use."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka.admin import ConsumerGroupDescription

from drills.evidence.verdict import Finding
from drills.faults.asking import group_of
from drills.faults.kafka_fault import KafkaFault
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of

_CLIENT = "standfast-drill-stranger"
_SESSION_MS = 6000  # Kafka's default least: a killed injector's strangers are gone after so long
_ENDS_S = 15.0
_AGAIN_S = 0.05


class Strangers(KafkaFault):
    """`members` strangers, each in a thread, that stay for `stay_s` and are away for `away_s`, until `undo`.

    They commit nothing, so the worker that gets a partition back reads on where it was.
    """

    what = "group"

    def strike(self) -> None:
        """Lets them begin."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._come_and_go, args=(number,), name=f"stranger-{number}", daemon=True)
            for number in range(int(self.aim.params["members"]))
        ]
        for thread in self._threads:
            thread.start()

    def injected(self, within_s: float) -> Finding:
        """Whether Kafka shows it."""
        deadline, group = time.monotonic() + within_s, self.system.service.group
        while True:
            if shown := self.shown():
                return Finding("passed", f"in {group} there is {shown}")
            if time.monotonic() >= deadline:
                return Finding("failed", f"Kafka shows no such stranger in {group}")
            time.sleep(_AGAIN_S)

    def shown(self) -> str:
        """What Kafka shows of the fault, in words; "" if nothing."""
        strangers = sum(member.client_id.startswith(_CLIENT) for member in self._group().members)
        return f"{strangers} stranger" if strangers else ""

    def held(self) -> set[int]:
        """The partitions that strangers have."""
        topic = self.system.service.requests
        members = (member for member in self._group().members if member.client_id.startswith(_CLIENT))
        return {number for member in members for number in _partitions(member, topic)}

    def undo(self) -> None:
        """Lets them leave, and waits for it; raises ClusterError if one has not left within 15 s."""
        threads = getattr(self, "_threads", [])
        if threads:
            self._stop.set()
        deadline = time.monotonic() + _ENDS_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            raise ClusterError(f"a stranger has not left {self.system.service.group} within {_ENDS_S:.0f} s")

    def undone(self) -> Finding:
        """Whether none of them is in the group, and each partition is a member's."""
        group, name = self._group(), self.system.service.group
        strangers = [member for member in group.members if member.client_id.startswith(_CLIENT)]
        if strangers:
            return Finding("failed", f"{len(strangers)} strangers are in {name}")
        owned = {number for member in group.members for number in _partitions(member, self.system.service.requests)}
        missing = set(self.target.partitions) - owned
        if group.state != ConsumerGroupState.STABLE or missing:
            return Finding("failed", f"{name} is {group.state.name}, and nobody has partitions {sorted(missing)}")
        return Finding("passed", f"no stranger is in {name}, it is stable, and each partition has an owner")

    def _group(self) -> ConsumerGroupDescription:
        """Kafka's description of the group; raises ClusterError."""
        name = self.system.service.group
        try:
            return group_of(self.system, name)
        except KafkaException as error:
            raise ClusterError(f"Kafka does not describe the group {name}: {error_of(error).str()}") from None

    def _come_and_go(self, number: int) -> None:
        more = {"session.timeout.ms": _SESSION_MS, "heartbeat.interval.ms": 200}
        config = clients.consumer(self.system.settings, f"{_CLIENT}-{number}", self.system.service.group, **more)
        while not self._stop.is_set():
            consumer = Consumer(config)
            consumer.subscribe([self.system.service.requests])
            until = time.monotonic() + float(self.aim.params["stay_s"])
            while time.monotonic() < until and not self._stop.is_set():
                consumer.poll(0.1)
            consumer.close()
            self._stop.wait(float(self.aim.params["away_s"]))


def _partitions(member: object, topic: str) -> set[int]:
    assigned = member.assignment.topic_partitions  # type: ignore[attr-defined]
    return {place.partition for place in assigned if place.topic == topic}
