"""Faults on resources: limits of real processes, and busy processes, seen by what the kernel says of them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from drills.faults import FAULTS, limits
from drills.faults.injector import Injector
from drills.faults.marked_children import MarkedChildren
from standfast.core.errors import DrillRejected
from tests.support.paper_system import PaperSystem, paper_system
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
LIMITS = {"memory": resource.RLIMIT_AS, "descriptors": resource.RLIMIT_NOFILE, "disk": resource.RLIMIT_FSIZE}
BURNS_AND_DIES = """
import os, signal, sys, time
from drills.faults.marked_children import MarkedChildren
children = MarkedChildren("a-mark")
children.start("import time\\nwhile True: time.sleep(1)", [])
while not children.pids():
    time.sleep(0.01)
print(*children.pids(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperSystem]:
    with paper_system(monkeypatch) as made:
        yield made


def made(paper: PaperSystem, name: str, **params: Any) -> Injector:
    kind = FAULTS[name]
    return kind.make(paper.system, kind.aim({"worker": "search-0"} if name in LIMITS else {}, params))


def no_more_set(patch: pytest.MonkeyPatch) -> None:
    """From now on no limit is changed; it can still be read."""
    real = resource.prlimit
    patch.setattr(limits.resource, "prlimit", lambda pid, which, *_: real(pid, which))


# limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_lowered_on_the_live_worker_and_raised_again(paper: PaperSystem, name: str) -> None:
    pid = paper.worker().pid
    before = resource.prlimit(pid, LIMITS[name])
    with closing(made(paper, name)) as fault:
        target = fault.choose()
        assert (target.before["soft"], target.before["hard"]) == before
        fault.inject()
        injected = fault.injected(1)
        assert injected.check == "passed", injected
        assert resource.prlimit(pid, LIMITS[name])[0] != before[0]
        assert resource.prlimit(pid, LIMITS[name])[1] == before[1], "else it could not be raised again"
        assert fault.undone().check == "failed"
        fault.undo()
        fault.undo()
        undone = fault.undone()
    assert undone.check == "passed"
    assert "it lives on" in undone.text
    assert resource.prlimit(pid, LIMITS[name]) == before


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_not_lowered_is_not_injected(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    no_more_set(monkeypatch)
    with closing(made(paper, name)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(1).check == "failed"


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_stays_is_not_undone(paper: PaperSystem, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with closing(made(paper, name)) as fault:
        fault.choose()
        fault.inject()
        no_more_set(monkeypatch)
        fault.undo()
        assert fault.undone().check == "failed"


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_whose_injector_was_killed_is_raised_by_another(paper: PaperSystem, name: str) -> None:
    pid = paper.worker().pid
    before = resource.prlimit(pid, LIMITS[name])
    first = made(paper, name)
    target = first.choose()
    with closing(made(paper, name)) as again:
        assert again.resume(target).check == "unknown", "it was killed before it struck"
        again.undo()
        assert again.undone().check == "passed"
    first.inject()
    first.close()
    with closing(made(paper, name)) as again:
        assert again.resume(target).check == "passed"
        again.undo()
        assert again.undone().check == "passed"
    assert resource.prlimit(pid, LIMITS[name]) == before


def test_a_worker_that_ends_of_its_limit_is_undone_when_it_was_replaced(paper: PaperSystem) -> None:
    with closing(made(paper, "memory")) as fault:
        fault.choose()
        fault.inject()
        paper.end(paper.worker().pid)
        paper.change_worker(state="starting")
        fault.undo()
        assert fault.undone().check == "failed"
        paper.change_worker(pid=paper.child(), state="serving")
        undone = fault.undone()
    assert undone.check == "passed"
    assert "it has ended of that and was replaced" in undone.text


def test_a_process_without_room_really_has_none() -> None:
    """What the limit of descriptors means: the kernel gives no further one, and those there are stay open."""
    code = (
        "import sys\nprint(flush=True); sys.stdin.readline()\n"
        "try: open('/dev/null')\nexcept OSError as error: print(error.errno, flush=True)\nelse: print('opened')"
    )
    child = subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)[1]
    kind = FAULTS["descriptors"]
    fault: Any = kind.make(None, kind.aim())  # type: ignore[arg-type] - it asks the kernel alone
    resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (fault.lowered(child.pid), hard))
    out, _ = child.communicate(b"\n", timeout=30)
    assert out == b"24\n", "EMFILE"


def test_the_limit_of_a_worker_that_has_ended_cannot_be_lowered(paper: PaperSystem) -> None:
    with closing(made(paper, "disk")) as fault:
        fault.choose()
        paper.end(paper.worker().pid)
        with pytest.raises(DrillRejected, match="ended by itself before the fault"):
            fault.inject()


# processors ---------------------------------------------------------------------------------------------------------


def test_processors_are_burnt_until_the_undo(paper: PaperSystem) -> None:
    with closing(made(paper, "cpu", processes=2, nice=10)) as fault:
        target = fault.choose()
        assert target == fault.choose()
        fault.inject()
        injected = fault.injected(20)
        assert injected.check == "passed"
        assert injected.text.startswith("2 processes burn")
        assert fault.undone().check == "failed"
        fault.undo()
        assert fault.undone().check == "passed"


def test_burners_that_do_not_burn_are_not_injected(paper: PaperSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drills.faults.cpu._BURNS", "import time\ntime.sleep(60)\n")
    with closing(made(paper, "cpu")) as fault:
        fault.choose()
        fault.inject()
        wait_until(
            lambda: fault.injected(0.5).text.startswith("2 processes burn 0.00"), what="sleepers that have begun"
        )
        assert fault.injected(0.5).check == "failed"


def test_burners_that_stay_are_not_undone(paper: PaperSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(made(paper, "cpu")) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(20).check == "passed"
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(MarkedChildren, "end", lambda _: None)
            fault.undo()
            assert fault.undone().check == "failed"
        again = made(paper, "cpu")
        assert again.resume(fault.choose()).check == "passed"
        again.undo()
        wait_until(lambda: again.undone().check == "passed", what="the end of the burners")
        again.close()


def test_burners_end_with_a_process_that_is_killed(paper: PaperSystem) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BURNS_AND_DIES], check=False, capture_output=True, cwd=ROOT, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert ended.stdout.split()
    wait_until(lambda: not MarkedChildren("a-mark").pids(), what="the end of the burners")
    assert os.getpid() not in MarkedChildren("a-mark").pids()
