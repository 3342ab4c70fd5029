"""A stranger in the service's consumer group that takes partitions and reads none of them: requests wait there."""

from __future__ import annotations

import time

from msgspec import structs

from drills.evidence.history import Fault
from drills.faults.injector import Kind
from drills.faults.strangers import Strangers
from drills.params import Param

_JOINS_S = 10.0
_AGAIN_S = 0.05


class Lag(Strangers):
    """As a console consumer that somebody has started with the service's group, and forgotten."""

    name = "kafka-lag"

    def inject(self) -> Fault:
        """Lets it join; the fault begins when it has partitions, and hits those. Joining may take some seconds."""
        self.strike()
        deadline = time.monotonic() + _JOINS_S
        while not (held := self.held()) and time.monotonic() < deadline:
            time.sleep(_AGAIN_S)
        fault = self.target.struck(self.name, time.monotonic())
        return structs.replace(fault, partitions=frozenset(held), victims=(frozenset(held),)) if held else fault

    def shown(self) -> str:
        """The partitions that it has, in words; "" if it has none."""
        held = sorted(self.held())
        return f"a stranger with partitions {held} of {self.system.service.requests}" if held else ""


LAG = Kind(
    "kafka-lag",
    "a stranger in the service's group reads none of its partitions",
    Lag,
    targets={"topic": "this request topic, and with it the service"},
    undo="the stranger leaves; the drill checks that the group is stable and each partition has an owner",
    params=(
        Param("members", 1, "how many strangers there are", 1, 20),
        Param("stay_s", 300.0, "how long each stays at most", 1, 3600),
        Param("away_s", 0.0, "how long each is away after that", 0, 60),
    ),
    figure=None,
)
