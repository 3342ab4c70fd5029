"""Drills on other hosts: the runner sees no process of theirs, and their own fault agents make the faults.

Each host is a supervisor in a pid namespace of its own, as in a container: its pids mean nothing outside.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from schemas.records import DrillEvent
from tests.support.drill_stage import DrillStage, runner_alone_in_a_thread
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
QUICK = {
    "before_s": 2.0,
    "after_s": 2.0,
    "rate": 50.0,
    "p99_ms": 60_000.0,
    "rto_ms": 60_000.0,
    "recover_within_s": 60.0,
}
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


class ContainedToys(Toys):
    """A toy system in a pid namespace of its own, with a fault agent."""

    module = "tests.support.toys.toy_host"
    wrapped = UNSHARE


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def hosts(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Toys]]:
    if not _can_unshare():
        pytest.skip("this user may not make a pid namespace, so no second host can be made here")
    with ExitStack() as stack:
        made: dict[str, Toys] = {}
        for name in ("a", "b"):
            host = ContainedToys(
                tmp_path_factory.mktemp(f"host-{name}"),
                broker,
                "agents.",
                ("search",),
                STANDFAST_WORKERS__HOST=name,
                STANDFAST_SEARCH__WORKERS="1",
                STANDFAST_DRILLS__LEASE_S="3",
            )
            host.start()
            stack.callback(host.stop, signal.SIGKILL)
            made[name] = host
        wait_until(lambda: all(owned(host) for host in made.values()), 60, what="partitions on both hosts")
        yield made


@pytest.fixture(scope="module")
def stage(hosts: dict[str, Toys], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillStage]:
    """A runner that has a state folder of its own, without any system in it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STANDFAST_HOME", str(tmp_path_factory.mktemp("runner")))
        stage = DrillStage(hosts["a"].settings)
        with runner_alone_in_a_thread(stage.settings):
            yield stage
        stage.close()


def owned(host: Toys) -> list[int]:
    return [number for row in host.active() for number in row.partitions.get(host.topic("search.requests"), ())]


def run(stage: DrillStage, drill_id: str, **fields: object) -> DrillEvent:
    stage.order(drill_id=drill_id, params=QUICK, **fields)
    return stage.last(drill_id, 300)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_worker_of_another_host_is_killed_and_replaced_there(
    stage: DrillStage, hosts: dict[str, Toys], name: str
) -> None:
    (victim,) = hosts[name].active()
    target = {"partition": owned(hosts[name])[0]}
    last = run(stage, f"kill-{name}", drill="worker-kill", target=target)
    assert (last.verdict, last.injected, last.undone) == ("passed", "passed", "passed"), last
    assert (last.lost, last.duplicated) == (0, 0)
    assert last.target is not None
    assert (last.target["worker"], last.target["pid"]) == (victim.id, victim.pid)
    (successor,) = hosts[name].active()
    assert (successor.id, successor.pid != victim.pid) == (victim.id, True)


def test_a_host_is_named_and_the_same_seed_hits_the_same_one(stage: DrillStage, hosts: dict[str, Toys]) -> None:
    targets = []
    for number in range(2):
        stage.order(drill="worker-kill", drill_id=f"seed-{number}", seed=11, dry_run=True, params=QUICK)
        targets.append(stage.last(f"seed-{number}").target)
    assert targets[0] == targets[1]
    named = run(stage, "named", drill="worker-kill", target={"host": "b"}, dry_run=True)
    assert named.target is not None
    assert named.target["worker"] == hosts["b"].active()[0].id
    nobody = run(stage, "nobody", drill="worker-kill", target={"host": "c"})
    assert (nobody.phase, "no host" in (nobody.reason or "")) == ("rejected", True), nobody.reason


def test_a_drill_on_another_host_is_aborted_and_its_fault_undone_there(
    stage: DrillStage, hosts: dict[str, Toys]
) -> None:
    params = QUICK | {"at_most_s": 60.0}
    target = {"partition": owned(hosts["b"])[0]}
    stage.order(drill="worker-freeze", drill_id="abort", params=params, target=target)
    stage.reached("abort", "injected", 120)
    stage.order(abort="abort")
    last = stage.last("abort")
    assert (last.verdict, last.injected, last.undone) == ("aborted", "passed", "passed"), last
    wait_until(lambda: len(hosts["b"].active()) == 1 and owned(hosts["b"]), 60, what="the host serves")
