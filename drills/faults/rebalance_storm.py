"""Strangers that join and leave the service's consumer group every second: one rebalance after the other."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.strangers import Strangers
from drills.params import Param


class RebalanceStorm(Strangers):
    """Partitions that no stranger takes have to keep flowing."""

    name = "kafka-rebalance-storm"


REBALANCE_STORM = Kind(
    "kafka-rebalance-storm",
    "strangers join and leave the service's group all the time",
    RebalanceStorm,
    targets={"topic": "this request topic, and with it the service"},
    undo="the strangers leave; the drill checks that the group is stable and each partition has an owner",
    params=(
        Param("members", 2, "how many strangers come and go", 1, 20),
        Param("stay_s", 1.0, "how long each stays", 0.1, 60),
        Param("away_s", 1.0, "how long each is away", 0, 60),
    ),
    figure=None,
)
