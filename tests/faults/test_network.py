"""The network's faults on a system whose Kafka is behind the proxy: it holds, and the three verdicts are true."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bench.failover.campaign import own_system
from drills.faults.running_system import RunningSystem
from schemas.records import DrillEvent
from standfast.core.network import probing, routes
from standfast.core.network.toxics import Question, Reach, Toxic, ask
from standfast.core.settings import DrillSettings, KafkaSettings, Settings
from standfast.core.status import RoleStatus
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.registry import running_registry
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(900)
QUICK = {
    "before_s": 2.0,
    "after_s": 3.0,
    "rate": 40.0,
    "p99_ms": 60_000.0,
    "rto_ms": 60_000.0,
    "recover_within_s": 90.0,
}
SHORT = """
title: The network is late, and breaks a second later.
why: To see two faults of the network within ten seconds.
objectives: {rto_ms: 60000, p99_ms: 60000}
load: {answer_within_s: 60}
limits: {recover_within_s: 60}
hypothesis: [{probe: answered_share, equals: 1}]
method:
  - {fault: network-latency, for_s: 1, params: {delay_ms: 20}}
  - {fault: network-reset, for_s: 1}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSystem, Path]]:
    home = tmp_path_factory.mktemp("network")
    with running_registry() as registry:
        settings = Settings(
            kafka=KafkaSettings(partitions=4),
            drills=DrillSettings(network=True),
            schema_registry_url=SecretStr(registry.url),
        )
        with own_system(settings, "search", 1, home, "tests.support.toys.toy_alone") as running:
            yield running, home


@pytest.fixture
def stage(system: tuple[RunningSystem, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DrillStage]:
    running, home = system
    monkeypatch.setenv("STANDFAST_HOME", str(home))
    wait_until(lambda: running.status().state == "ready" and running.standbys(), 90, what="a whole system")
    stage = DrillStage(running.settings)
    with runner_in_a_thread(running.settings):
        yield stage
    stage.close()


def run(stage: DrillStage, drill: str, **params: object) -> DrillEvent:
    return stage.verdict(drill, {**QUICK, **params})


def holds(last: DrillEvent) -> None:
    assert (last.injected, last.undone, last.lost, last.duplicated) == ("passed", "passed", 0, 0), (
        last.reason,
        last.findings,
    )
    assert last.verdict == "passed", last.findings


def test_the_system_holds_while_the_network_is_late_and_breaks(
    stage: DrillStage, system: tuple[RunningSystem, Path]
) -> None:
    running, home = system
    folder = home / "drills" / "catalogue"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "short.yaml").write_text(SHORT)
    roles = {row.id: row.restarts for row in running.status().roles}
    assert roles == {"kafka-1": 0, "network": 0}
    holds(run(stage, "short"))
    assert {row.id: row.restarts for row in running.status().roles} == roles, "nothing was taken for dead"


def test_a_proxy_that_is_killed_comes_back_without_toxics_and_everybody_with_it(
    stage: DrillStage, system: tuple[RunningSystem, Path]
) -> None:
    running, _ = system
    (route,) = (route for route in routes.kept() if route.name == "kafka-1")
    ask(Question(add=Toxic(id="t", sort="silence", reaches=(Reach("kafka-1"),))))
    assert probing.answer_s(route.front, 0.3) is None
    first = _proxy(running)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: _proxy(running).pid != first.pid and _proxy(running).state == "running", 60, what="another one")
    assert not ask(Question()).toxics
    assert probing.answer_s(route.front, 10) is not None
    stage.order(drill="nothing-such", drill_id="after")
    assert stage.last("after").phase == "rejected", "commands are read and events written again"


def _proxy(running: RunningSystem) -> RoleStatus:
    return next(row for row in running.status().roles if row.id == "network")


@pytest.mark.slow
@pytest.mark.parametrize(
    "drill",
    [
        "network-latency",
        "network-partition",
        "network-partition-one-way",
        "network-bandwidth",
        "network-reset",
        "registry-down",
    ],
)
def test_the_drills_of_the_catalogue_pass(stage: DrillStage, drill: str) -> None:
    holds(run(stage, drill))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_broker_of_three_is_cut_off_from_the_others(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("isolation")
    settings = Settings(kafka=KafkaSettings(partitions=4), drills=DrillSettings(network=True))
    with own_system(settings, "search", 3, home, "tests.support.toys.toy_alone") as running:
        monkeypatch.setenv("STANDFAST_HOME", str(home))
        stage = DrillStage(running.settings)
        with runner_in_a_thread(running.settings):
            holds(run(stage, "network-isolation"))
        stage.close()
