"""A process with a model as a worker has one, for faults in models: `python -m tests.support.suffering SLOT CHECK_S`.

It computes a batch every 20 ms and obeys drills. It ends as a worker does when its weights are damaged or its device is
lost, and prints a line once it works.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from consumers.channel.disturbance import disturbance_file
from consumers.process.model_health import ModelHealth
from consumers.serving.breaker import Breaker
from models.base import LoadedModels, SearchQuery
from models.weights import Weights
from schemas.records import Item
from standfast.core.errors import DeviceLost, WeightsDamaged
from standfast.core.home import folder
from standfast.core.processes.parent_death import tie_to_parent


class Weighty:
    """Answers with the sum of its weights."""

    label = "toy@1"

    def __init__(self) -> None:
        self.weights = np.full(16, 1 / 16, np.float32)

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        return [[Item(query.query, float(self.weights.sum()), "")] for query in queries]

    def warm_up(self) -> None:
        return


def main(slot: str, check_s: str) -> None:
    tie_to_parent(os.getppid())
    model = Weighty()
    file = disturbance_file(folder("run", "slots"), slot)
    health = ModelHealth(LoadedModels(model), Weights(model), float(check_s), file)
    health.start(lambda _damage: os._exit(WeightsDamaged.exit_code))
    breaker = Breaker(health.model, "search", lambda _reason: None)
    queries = [SearchQuery("a", 1), SearchQuery("b", 1)]
    breaker.ask(queries)
    sys.stdout.write("works\n")
    sys.stdout.flush()
    while True:
        health.step()
        try:
            breaker.ask(queries)
        except DeviceLost as error:
            os._exit(error.exit_code)
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
