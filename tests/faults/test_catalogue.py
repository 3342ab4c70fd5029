"""The drills of the catalogue that suit a system with one broker, on real processes: the three verdicts are true."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import struck_system
from tests.support.toys.toys import Toys

pytestmark = pytest.mark.timeout(600)
QUICK = {
    "before_s": 2.0,
    "after_s": 4.0,
    "rate": 50.0,
    "p99_ms": 60_000.0,
    "rto_ms": 60_000.0,
    "recover_within_s": 90.0,
}
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("catalogue") / "home", broker, f"catalogue{time.time_ns()}.", ("search",))
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
        "worker-freeze",
        "worker-kill-twice",
        pytest.param("worker-kill", marks=SLOW),
        pytest.param("worker-stop", marks=SLOW),
        pytest.param("workers-kill-two", marks=SLOW),
        pytest.param("worker-kill-with-heir", marks=SLOW),
    ],
)
def test_the_system_holds_and_nothing_is_left(stage: DrillStage, toys: Toys, drill: str) -> None:
    before = {worker.id: worker.pid for worker in toys.active()}
    last = stage.verdict(drill, QUICK)
    assert (last.injected, last.undone, last.lost, last.duplicated) == ("passed", "passed", 0, 0), last
    assert last.verdict == "passed", last.findings
    now = {worker.id: worker.pid for worker in toys.active()}
    assert now.keys() == before.keys()
    assert now != before, "whoever was struck was replaced"


def test_a_file_of_the_users_is_a_drill_with_a_hypothesis_that_may_fail(stage: DrillStage, toys: Toys) -> None:
    file = Path(toys.home) / "drills" / "catalogue" / "own.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "title: Mine\nwhy: To see that the system cannot do what nobody can.\nmethod: [{fault: kill}]\n"
        "hypothesis: [{probe: max_ms, at_most: 0.001}, {probe: answered_share, equals: 1}]\n"
    )
    last = stage.verdict("own", QUICK)
    assert (last.verdict, last.injected, last.held, last.undone) == ("failed", "passed", "failed", "passed")
    told = [finding for finding in last.findings or () if "max_ms" in finding or "answered_share" in finding]
    assert [finding.split(":")[0] for finding in told] == ["failed", "passed"]
