"""The base of faults on topics and groups: no process is struck, and Kafka itself says what there is of the fault."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.asking import metadata_of
from drills.faults.injector import Aim, Target
from drills.faults.running_system import RunningSystem
from drills.targets import partition_of
from schemas.records import Scalar
from standfast.core.errors import DrillRejected


class KafkaFault:
    """A fault that lasts until `undo`, or for `at_most_s` where it has that parameter."""

    name = ""
    what = "topic"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self.system = system
        self.aim = aim
        self.random = random.Random(aim.seed)
        self.target = Target(self.what, (), ())
        self._is_chosen = False
        self._until = 0.0

    @property
    def topic(self) -> str:
        """The request topic of the service."""
        return self.system.service.requests

    def hit(self) -> tuple[tuple[int, ...], ...]:
        """The request partitions that are hit: all of them, unless a fault says otherwise."""
        return (tuple(self.partitions()),)

    def before(self) -> Mapping[str, Scalar]:
        """What `undo` and `undone` have to know, also in another process."""
        return {}

    def strike(self) -> None:
        """Does it."""
        raise NotImplementedError

    def injected(self, within_s: float) -> Finding:
        """Whether Kafka shows the fault within so many seconds."""
        raise NotImplementedError

    def choose(self) -> Target:
        """What is hit and how it was before; the same each time. Raises DrillRejected."""
        if not self._is_chosen:
            self.target = Target(self.what, (), self.hit(), before=dict(self.before()))
            self._is_chosen = True
        return self.target

    def inject(self) -> Fault:
        """Injects the fault, for at most `at_most_s` seconds."""
        at = time.monotonic()
        self.strike()
        self._until = at + float(self.aim.params.get("at_most_s", 0.0))
        return self.target.struck(self.name, at)

    def lasted(self) -> bool:
        """Whether `at_most_s` is over."""
        return time.monotonic() >= self._until

    def undo(self) -> None:
        """Does nothing, unless a fault says otherwise."""

    def resume(self, target: Target) -> Finding:
        """Whether Kafka shows the fault now; `unknown` if not, since it may have been undone."""
        self.target = target
        now = self.injected(0)
        return now if now.check == "passed" else Finding("unknown", f"{now.text}; whether it was so nobody saw")

    def close(self) -> None:
        """Closes nothing, unless a fault says otherwise."""

    def partition(self) -> int:
        """The partition of the request topic that the aim names, by itself or by a key; else one by the seed."""
        partitions, target = self.partitions(), self.aim.target
        chosen = target.get("partition", self.random.choice(partitions))
        if "key" in target:
            chosen = partition_of(str(target["key"]), len(partitions))
        if chosen not in partitions:
            raise DrillRejected(
                f"{self.system.service.requests} has no partition {chosen}; it has {len(partitions)}, from 0"
            )
        return int(str(chosen))

    def partitions(self) -> list[int]:
        """The partitions of the request topic, whichever host serves them; raises DrillRejected."""
        topic = metadata_of(self.system).topics.get(self.system.service.requests)
        if topic is None or not topic.partitions:
            raise DrillRejected(f"Kafka has no topic {self.system.service.requests}; create it with `standfast topics`")
        return sorted(topic.partitions)
