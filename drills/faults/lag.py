"""A stranger in the service's consumer group that takes partitions and reads none of them: requests wait there."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.strangers import Strangers
from drills.params import Param


class Lag(Strangers):
    """As a console consumer that somebody has started with the service's group, and forgotten."""

    name = "kafka-lag"


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
