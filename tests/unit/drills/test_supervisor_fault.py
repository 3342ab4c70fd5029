"""A supervisor that is killed on a running system is started again as it was, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from consumers.service import service
from drills.faults import FAULTS, local_system
from drills.faults.injector import Injector, Process, Target
from drills.faults.local_system import LocalSystem
from drills.faults.process_handle import ProcessHandle, start_time
from drills.faults.running_system import RunningSystem
from drills.running.choice import _refuse_if_it_ends_the_runner
from standfast.core import status
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.status import SystemStatus
from tests.support.paper_system import SETTINGS
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
INJECTS_AND_DIES = """
import os, signal, sys
import msgspec
from tests.unit.drills.test_supervisor_fault import a_fault
fault = a_fault("supervisor", 60.0)
target = fault.choose()
fault.inject()
sys.stdout.write(msgspec.json.encode(target).decode())
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def a_fault(name: str = "supervisor", down_s: float = 0.0) -> Injector:
    kind = FAULTS[name]
    return kind.make(RunningSystem(SETTINGS, service("search", SETTINGS)), kind.aim(params={"down_s": down_s}))


def running() -> SystemStatus:
    found = wait_until(status.read, what="a supervisor that runs")
    assert found is not None
    return found


@pytest.fixture
def before(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemStatus]:
    """The status of a supervisor; the supervisor that runs at the end is ended."""
    monkeypatch.setenv("MARK", "kept")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    state.mkdir(exist_ok=True)
    with (state / "log").open("ab") as log:
        made = subprocess.Popen([sys.executable, "-m", "tests.support.paper_supervisor"], cwd=state, stderr=log)
    yield running()
    monkeypatch.delenv("MARK")
    if (last := status.read()) is not None:
        os.kill(last.supervisor_pid, signal.SIGKILL)
    made.kill()
    made.wait()


def again(fault: Injector) -> SystemStatus:
    wait_until(lambda: fault.undone().check == "passed", what="the undo")
    return running()


@pytest.mark.parametrize("name", ["supervisor", "host"])
def test_the_supervisor_is_killed_with_all_it_started_and_comes_back_as_it_was(
    state: Path, before: SystemStatus, name: str
) -> None:
    with closing(a_fault(name)) as fault:
        target = fault.choose()
        assert (target.partitions, set(target.gone)) == ((0, 1), {before.supervisor_pid, before.workers[0].pid})
        fault.inject()
        assert fault.injected(5).check == "passed"
        after = again(fault)
    assert after.supervisor_pid != before.supervisor_pid
    assert after.detail == before.detail == f"{state} kept", "the same folder and environment"
    assert (state / "log").read_text() == "written\n" * 2, "the same log"
    assert not list((state / "run" / "restarts").iterdir())
    wait_until(lambda: status.started_at(before.workers[0].pid) == 0, what="the end of the old worker")


def test_a_kill_that_does_not_arrive_is_not_injected(
    state: Path, before: SystemStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_system, "_ENDS_S", 0.05)
    monkeypatch.setattr(ProcessHandle, "signal", lambda *_: None)
    with closing(a_fault()) as fault:
        fault.choose()
        with pytest.raises(ClusterError, match="still runs"):
            fault.inject()
        assert fault.injected(0.05).check == "failed"
        assert fault.undone().check == "failed"
    assert running().supervisor_pid == before.supervisor_pid
    assert not list((state / "run" / "restarts").iterdir()), "whoever waits starts nothing if it is ended now"


def test_a_supervisor_that_stays_away_is_not_undone_until_it_is_started(
    before: SystemStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(a_fault(down_s=60)) as fault:
        fault.choose()
        fault.inject()
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(LocalSystem, "start", lambda _: None)
            fault.undo()
            assert fault.undone().check == "failed"
        fault._started_again = False  # type: ignore[attr-defined]
        fault.undo()
        assert again(fault).supervisor_pid != before.supervisor_pid


def test_the_supervisor_comes_back_although_the_injector_was_killed(before: SystemStatus) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INJECTS_AND_DIES], check=False, capture_output=True, timeout=120, cwd=ROOT
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    target = msgspec.json.decode(ended.stdout, type=Target)
    with closing(a_fault()) as fault:
        assert fault.resume(target).check == "passed"
        assert fault.undone().check == "failed"
        fault.undo()  # it was to be away for a minute
        assert again(fault).supervisor_pid != before.supervisor_pid


def test_nothing_is_started_where_somebody_has_started_a_supervisor(before: SystemStatus) -> None:
    with closing(a_fault(down_s=60)) as fault:
        fault.choose()
        fault.inject()
        other = subprocess.Popen([sys.executable, "-m", "tests.support.paper_supervisor"], cwd=ROOT)
        wait_until(lambda: running().supervisor_pid == other.pid, what="the other supervisor")
        fault.undo()
        assert again(fault).supervisor_pid == other.pid
        other.kill()
        other.wait()


def test_a_runner_below_the_supervisor_refuses() -> None:
    for pid in (os.getpid(), os.getppid()):
        mine = Target("supervisor", (Process("supervisor", pid, start_time(pid)),), ())
        with pytest.raises(DrillRejected, match=r"this drill runner would die with supervisor .*`standfast drills`"):
            _refuse_if_it_ends_the_runner(mine)
    _refuse_if_it_ends_the_runner(Target("worker", (Process("search-0", os.getppid(), 0),), ()))
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        _refuse_if_it_ends_the_runner(Target("host", (Process("host", other.pid, 0),), ()))
        other.kill()


def test_the_first_process_of_a_container_is_refused(before: SystemStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_system, "_FIRST", before.supervisor_pid)
    with closing(a_fault()) as fault:
        fault.choose()
        with pytest.raises(DrillRejected, match="process 1, the first of a container"):
            fault.inject()
