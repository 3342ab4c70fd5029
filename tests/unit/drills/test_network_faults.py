"""Each fault of the network, on a proxy process with servers that echo: what was not injected or undone is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from consumers.service import service
from drills.faults import FAULTS, network
from drills.faults.injector import Injector, Target
from drills.faults.running_system import RunningSystem
from standfast.core import status
from standfast.core.errors import DrillRejected
from standfast.core.network import routes, toxics
from standfast.core.network.toxics import Answer, Question, ask
from standfast.core.settings import Settings
from standfast.core.status import RoleStatus, SystemStatus, WorkerStatus
from tests.support.proxied import ProxyProcess, asking, proxied
from tests.waiting import wait_until

SIDES = ("kafka-1", "kafka-1-peers", "kafka-1-controller", "kafka-2", "kafka-2-peers", "kafka-2-controller", "registry")
WORKER = {"worker": "search-0"}


@dataclass(frozen=True)
class Case:
    fault: str
    target: dict[str, str]
    params: dict[str, object]


CASES = {
    "latency": Case("network-latency", {}, {"delay_ms": 100, "jitter_ms": 20}),
    "latency of one worker": Case("network-latency", WORKER, {}),
    "partition": Case("network-partition", {}, {"broker": 2}),
    "partition of one worker": Case("network-partition", WORKER, {}),
    "answers of one worker": Case("network-partition", WORKER, {"way": "answers"}),
    "requests of one worker": Case("network-partition", WORKER, {"way": "requests"}),
    "bandwidth": Case("network-bandwidth", {}, {"kb_per_s": 0.1}),
    "reset": Case("network-reset", {}, {"live_ms": 50}),
    "isolation": Case("network-isolation", {}, {}),
    "registry refuses": Case("registry-down", {}, {}),
    "registry is silent": Case("registry-down", {}, {"how": "silent"}),
}


@dataclass(frozen=True)
class Stage:
    system: RunningSystem
    proxy: ProxyProcess
    status_file: Path

    def make(self, case: Case) -> Injector:
        kind = FAULTS[case.fault]
        return kind.make(self.system, kind.aim(case.target, case.params))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A system whose worker, brokers and others are processes that ask at the proxy's fronts."""
    home = tmp_path_factory.mktemp("network")
    with pytest.MonkeyPatch.context() as patch, proxied(_at(home, patch), *SIDES) as proxy:
        fronts = {route.name: route.front for route in routes.kept()}
        sides = ("kafka-1", "kafka-2", "kafka-2-peers", "kafka-1-peers")
        with ExitStack() as clients:
            worker, other, first, second = (clients.enter_context(asking(fronts[side]))[0] for side in sides)
            seen = _status(worker, other, {"kafka-1": first, "kafka-2": second}, proxy.process.pid)
            file = home / "status.json"
            file.write_bytes(msgspec.json.encode(seen))
            patch.setattr(status, "read", lambda: seen)
            yield Stage(RunningSystem(Settings(), service("search", Settings())), proxy, file)


@pytest.fixture
def stage(running: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage without a toxic, before and after the test."""
    monkeypatch.setattr(network, "PROBE_S", 5.0)
    yield running
    ask(Question(remove=tuple(toxic.id for toxic in ask(Question()).toxics)))


def _at(home: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("STANDFAST_HOME", str(home))
    return home


def _status(worker: int, other: int, brokers: dict[str, int], proxy: int) -> SystemStatus:
    def active(name: str, pid: int, owned: list[int]) -> WorkerStatus:
        return WorkerStatus(
            id=name, pid=pid, service="search", group="standfast-search", role="active", state="serving",
            partitions={"search.requests": owned},
        )  # fmt: skip

    roles = [RoleStatus(id=name, pid=pid, state="running") for name, pid in {**brokers, "network": proxy}.items()]
    workers = [active("search-0", worker, [0, 1]), active("search-1", other, [2, 3])]
    return SystemStatus(
        state="ready", at=0, supervisor_pid=os.getpid(), bootstrap_servers="", metrics_url="", workers=workers,
        roles=roles,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_seen_to_be_injected_and_undone(stage: Stage, name: str) -> None:
    with closing(stage.make(CASES[name])) as injector:
        target = injector.choose()
        assert injector.choose() == target
        assert injector.inject().partitions == frozenset(target.partitions)
        assert injector.injected(10).check == "passed"
        assert not injector.lasted()
        assert injector.undone().check == "failed", "it lasts"
        injector.undo()
        injector.undo()
        assert _undone(injector)
        assert injector.lasted()


@pytest.mark.parametrize("name", CASES)
def test_a_toxic_that_never_came_to_be_is_not_injected(
    stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "ask", _without("add"))
    with closing(stage.make(CASES[name])) as injector:
        injector.choose()
        injector.inject()
        assert injector.injected(0.5).check == "failed"


def test_a_toxic_that_nobody_feels_is_not_injected(stage: Stage) -> None:
    """The worker's process has no connection with broker 2."""
    case = Case("network-partition", WORKER, {"broker": 2})
    with closing(stage.make(case)) as injector:
        injector.choose()
        injector.inject()
        assert injector.injected(0.5).check == "failed"
        injector.undo()


@pytest.mark.parametrize("name", CASES)
def test_a_toxic_that_stays_is_not_undone(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(stage.make(CASES[name])) as injector:
        injector.choose()
        injector.inject()
        monkeypatch.setattr(network, "ask", _without("remove"))
        injector.undo()
        assert injector.undone().check == "failed"


@pytest.mark.parametrize("name", {case.fault: name for name, case in CASES.items()}.values())
def test_another_process_undoes_it_after_the_first_was_killed(stage: Stage, name: str) -> None:
    case = CASES[name]
    texts = [str(stage.status_file), case.fault, json.dumps(case.target), json.dumps(case.params)]
    command = [sys.executable, "-m", "tests.support.network_injector", *texts]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        target = msgspec.json.decode(first.stdout.readline(), type=Target)
        first.kill()
    with closing(stage.make(case)) as fresh:
        assert fresh.resume(target).check == "passed"
        assert fresh.lasted()
        fresh.undo()
        assert _undone(fresh)
    with closing(stage.make(case)) as again:
        assert again.resume(target).check == "unknown"
        again.undo()
        assert _undone(again)


def test_what_was_never_injected_is_undone_all_the_same(stage: Stage) -> None:
    with closing(stage.make(CASES["partition of one worker"])) as injector:
        target = injector.choose()
    with closing(stage.make(CASES["partition of one worker"])) as fresh:
        assert fresh.resume(target).check == "unknown"
        fresh.undo()
        assert _undone(fresh)


def test_the_renewal_keeps_it_longer_than_a_lease(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without it, it ends: by itself, not by the fault that is closed."""
    with closing(stage.make(CASES["partition of one worker"])) as injector:
        toxic_of: Callable[..., toxics.Toxic] = injector.toxic  # type: ignore[attr-defined]
        monkeypatch.setattr(injector, "toxic", lambda *args: msgspec.structs.replace(toxic_of(*args), lease_s=2.5))
        injector.choose()
        injector.inject()
        wait_until(lambda: _renewed(2.4), 20, what="a renewal")
    wait_until(lambda: not ask(Question()).toxics, 20, what="the end of the lease")


def test_without_the_proxy_a_drill_is_rejected_with_the_remedy(state: Path) -> None:
    del state  # an empty state folder
    kind = FAULTS["network-latency"]
    injector = kind.make(RunningSystem(Settings(), service("search", Settings())), kind.aim())
    with pytest.raises(DrillRejected, match="STANDFAST_DRILLS__NETWORK=true"):
        injector.choose()


def _renewed(least_s: float) -> bool:
    return any(toxic.left_s >= least_s for toxic in ask(Question()).toxics)


def _undone(injector: Injector) -> bool:
    """Waits for the first `passed`: a machine that is busy may need some time for the first answer."""
    return wait_until(lambda: injector.undone().check == "passed", 30, what="the end of the fault")


def _without(part: str) -> Callable[..., Answer]:
    """`ask` that forgets a part of each question."""
    empty = {"add": None, "remove": ()}[part]

    def forgetful(question: Question, within_s: float = 5.0) -> Answer:
        return ask(msgspec.structs.replace(question, **{part: empty}), within_s)

    return forgetful
