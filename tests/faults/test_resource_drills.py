"""Drills on the resources of a live worker and of its machine, on a whole system: it answers on, or is replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.test_process_drills import holds, run
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import struck_system
from tests.support.toys.toys import Toys

# Half a minute each; tests/unit/drills/test_resource_faults.py has the faults themselves.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("resources") / "home", broker, f"resources{time.time_ns()}.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stage(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrillStage]:
    stage = DrillStage(struck_system(toys, monkeypatch).settings)
    with runner_in_a_thread(toys.settings):
        yield stage
    stage.close()


@pytest.mark.parametrize(
    "drill",
    [
        "worker-disk-full",
        "worker-memory-limit",
        "worker-descriptors-exhausted",
        "host-cpu-burn",
        "caller-clock-skew",
    ],
)
def test_the_system_holds_with_less(stage: DrillStage, toys: Toys, drill: str) -> None:
    holds(run(stage, drill))
