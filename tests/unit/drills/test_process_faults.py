"""Faults on processes: each sees whether it was injected and whether it was undone, also after its process was killed.

The processes are real and sleep; the status that says who they are is the test's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.channel.loop_steps import LoopSteps
from drills.faults import FAULTS
from drills.faults.injector import Injector
from drills.faults.process_handle import ProcessHandle
from schemas.records import Scalar
from standfast.core import status
from standfast.core.errors import DrillRejected
from standfast.core.processes.proc_stat import proc_stat
from standfast.core.processes.stillness import is_stopped
from tests.support.paper_system import PaperSystem, paper_system
from tests.waiting import wait_until

WORKER: dict[str, Scalar] = {"worker": "search-0"}


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperSystem]:
    with paper_system(monkeypatch) as made:
        yield made


def made(paper: PaperSystem, name: str, target: dict[str, Scalar] | None = None, **params: Scalar) -> Injector:
    kind = FAULTS[name]
    return kind.make(paper.system, kind.aim(target, params))


def without(patch: pytest.MonkeyPatch, *numbers: signal.Signals) -> None:
    """From now on these signals do not arrive."""
    send = ProcessHandle.signal

    def some(handle: ProcessHandle, number: signal.Signals) -> None:
        if number not in numbers:
            send(handle, number)

    patch.setattr(ProcessHandle, "signal", some)


# short freeze -------------------------------------------------------------------------------------------------------


def test_a_short_freeze_is_seen_and_over_when_it_was_injected(paper: PaperSystem) -> None:
    with closing(made(paper, "short-freeze", WORKER, for_ms=20)) as fault:
        fault.choose()
        fault.inject()
        injected, undone = fault.injected(1), fault.undone()
    assert injected.check == "passed", injected
    assert "stood still for" in injected.text
    assert not is_stopped(paper.worker().pid)
    assert undone.check == "passed", undone


def test_a_short_freeze_that_does_not_arrive_is_not_injected(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drills.faults.short_freeze._SEEN_WITHIN_S", 0.05)
    without(monkeypatch, signal.SIGSTOP)
    with closing(made(paper, "short-freeze", WORKER)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(1).check == "failed"


def test_a_freeze_that_became_long_on_a_busy_machine_proves_nothing(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(made(paper, "short-freeze", WORKER, for_ms=20)) as fault:
        fault.choose()
        fault.inject()
        monkeypatch.setattr(fault, "_stood_ms", 600.0)
        assert fault.injected(1).check == "unknown"


def test_a_freeze_whose_end_does_not_arrive_is_not_undone(paper: PaperSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, signal.SIGCONT)
    with closing(made(paper, "short-freeze", WORKER, for_ms=20)) as fault:
        fault.choose()
        fault.inject()
        assert fault.undone().check == "failed"
        monkeypatch.undo()
        os.kill(paper.worker().pid, signal.SIGCONT)


def test_a_worker_that_was_replaced_for_a_short_freeze_fails_the_drill(paper: PaperSystem) -> None:
    with closing(made(paper, "short-freeze", WORKER, for_ms=20)) as fault:
        fault.choose()
        fault.inject()
        paper.replace_worker()
        undone = fault.undone()
    assert undone.check == "failed"
    assert "was taken for one that hangs" in undone.text


def test_a_freeze_whose_injector_was_killed_is_undone_by_another(paper: PaperSystem) -> None:
    first = made(paper, "short-freeze", WORKER)
    target, pid = first.choose(), paper.worker().pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), what="it stands still")
    with closing(made(paper, "short-freeze")) as again:
        assert again.resume(target).check == "passed"
        assert again.undone().check == "failed"
        again.undo()
        wait_until(lambda: again.undone().check == "passed", what="the undo")
        paper.replace_worker()  # it may have stood still for long before it was found
        assert again.undone().check == "passed"
    first.close()


def test_a_freeze_that_has_to_be_noticed_is_refused(paper: PaperSystem) -> None:
    with pytest.raises(DrillRejected, match=r"for_ms = 350: .*hang_after_ms = 400.* give at most 300"):
        made(paper, "short-freeze", WORKER, for_ms=350).choose()


# hang: the zombie ---------------------------------------------------------------------------------------------------


def test_a_worker_that_wakes_beside_its_successor_is_not_undone_until_it_has_ended(paper: PaperSystem) -> None:
    with closing(made(paper, "hang", WORKER)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(2).check == "passed"
        old = paper.worker().pid
        paper.replace_worker(killed=False)
        fault.undo()
        undone = fault.undone()
        assert undone.check == "failed"
        assert f"process {old} (search-0) woke up and has not ended" in undone.text
        paper.end(old)
        undone = fault.undone()
        assert undone.check == "passed"
        assert "the old process has ended and cannot answer" in undone.text


# poll stall ---------------------------------------------------------------------------------------------------------


def test_a_loop_stands_still_while_its_process_lives_until_the_undo(state: Path, paper: PaperSystem) -> None:
    pid = paper.looping()
    with closing(made(paper, "poll-stall", WORKER)) as fault:
        assert fault.choose().before == {"slot": "slot-0"}
        fault.inject()
        injected = fault.injected(5)
        assert injected.check == "passed", injected
        assert f"search-0 (process {pid}) lives, and its loop stands still" in injected.text
        assert not fault.lasted()
        assert fault.undone().check == "failed"
        fault.undo()
        undone = wait_until(lambda: found if (found := fault.undone()).check == "passed" else None, what="steps again")
    assert undone is not None
    assert "it went on, as nobody had taken over" in undone.text


def test_an_order_that_the_loop_does_not_follow_is_not_injected(
    state: Path, paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.looping()
    monkeypatch.setattr(LoopSteps, "stand_still", lambda *_: None)
    with closing(made(paper, "poll-stall", WORKER)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(0.8).check == "failed"


def test_an_order_that_stays_is_not_undone_and_a_successor_has_none(
    state: Path, paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = paper.looping()
    with closing(made(paper, "poll-stall", WORKER)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        monkeypatch.setattr(LoopSteps, "stand_still", lambda *_: None)
        fault.undo()
        assert "is still to stand still" in fault.undone().text
        monkeypatch.undo()
        monkeypatch.setattr(status, "read", lambda: paper.status)
        monkeypatch.setenv("STANDFAST_HOME", str(state))
        paper.end(old)
        paper.looping()
        undone = fault.undone()
    assert undone.check == "passed"
    assert "the old process has ended and cannot answer" in undone.text


def test_a_stall_whose_injector_was_killed_is_undone_by_another_and_ends_by_itself(
    state: Path, paper: PaperSystem
) -> None:
    paper.looping()
    first = made(paper, "poll-stall", WORKER)
    target = first.choose()
    first.inject()
    assert first.injected(5).check == "passed"
    with closing(made(paper, "poll-stall")) as again:
        assert again.resume(target).check == "passed"
        again.undo()
        wait_until(lambda: again.undone().check == "passed", what="the undo")
    first.close()
    with closing(made(paper, "poll-stall", WORKER, at_most_s=1)) as short:
        short.choose()
        short.inject()
        assert short.injected(5).check == "passed"
        wait_until(lambda: short.undone().check == "passed", what="its own end")


def test_a_process_without_the_file_cannot_stall(state: Path, paper: PaperSystem) -> None:
    with pytest.raises(DrillRejected, match=r"search-0 .* has no file of its loop's steps"):
        made(paper, "poll-stall", WORKER).choose()


# crash loop ---------------------------------------------------------------------------------------------------------


def test_a_crash_loop_kills_each_successor_and_needs_to_be_reported(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drills.faults.crash_loop._REPORTED_FROM", 3)
    with closing(made(paper, "crash-loop", WORKER, times=3)) as fault:
        fault.choose()
        fault.inject()
        for _ in range(2):
            paper.replace_worker()
            wait_until(lambda: paper.children[-1].poll() is not None, what="the next kill")
        assert fault.injected(5).check == "passed"
        assert not fault.lasted(), "it waits for the report"
        fault.undo()
        last = paper.child()
        paper.change_worker(pid=last)
        undone = fault.undone()
    assert undone.check == "failed"
    assert "killed 3 times; the status never said that it keeps ending" in undone.text
    assert paper.children[-1].poll() is None, "whoever starts after the undo lives"


def test_a_crash_loop_that_was_reported_is_undone_when_a_process_stays(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drills.faults.crash_loop._REPORTED_FROM", 2)
    with closing(made(paper, "crash-loop", WORKER, times=2)) as fault:
        fault.choose()
        fault.inject()
        paper.replace_worker()
        wait_until(lambda: paper.children[-1].poll() is not None, what="the second kill")
        paper.change_worker(pid=0, state="backing_off")
        paper.change(state="degraded", detail="search-0 keeps ending: its next start waits")
        wait_until(fault.lasted, what="the report")
        assert fault.undone().check == "failed", "nobody serves yet"
        paper.change_worker(pid=paper.child(), state="serving")
        undone = fault.undone()
    assert undone.check == "passed"
    assert 'killed 2 times; the status said "search-0 keeps ending: its next start waits"' in undone.text


def test_one_kill_is_no_crash_loop(paper: PaperSystem) -> None:
    with closing(made(paper, "crash-loop", WORKER)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(0.1).check == "failed"
        assert not fault.lasted()
        fault.undo()
        assert fault.lasted()
        assert fault.undone().check == "failed"


def test_a_crash_loop_whose_injector_was_killed_is_over(paper: PaperSystem) -> None:
    first = made(paper, "crash-loop", WORKER)
    target = first.choose()
    paper.replace_worker()
    with closing(made(paper, "crash-loop")) as again:
        assert again.resume(target).check == "unknown"
        again.undo()
        assert again.undone().check == "passed"
        assert paper.children[-1].poll() is None, "the successor lives"
    first.close()


# roles and the nursery ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["stream", "profiles"])
def test_a_role_is_killed_and_back_when_another_process_runs(paper: PaperSystem, role: str) -> None:
    with closing(made(paper, "role", {"role": role})) as fault:
        target = fault.choose()
        assert (target.what, target.partitions) == ("role", (0, 1, 2))
        fault.inject()
        assert fault.injected(5).check == "passed"
        assert fault.undone().check == "failed"
        paper.change_role(role, pid=paper.child(), state="starting")
        assert fault.undone().check == "failed"
        paper.change_role(role, state="running", failing=f"{role} keeps ending")
        assert fault.undone().check == "failed"
        paper.change_role(role, failing="")
        assert fault.undone().check == "passed"


def test_a_nursery_that_has_ended_and_is_not_waited_for_yet_is_no_second_one(paper: PaperSystem) -> None:
    ended = paper.child("search-nursery")
    os.kill(ended, signal.SIGKILL)
    wait_until(lambda: proc_stat(ended).state == "Z", what="its end")
    with closing(made(paper, "nursery")) as fault:
        (process,) = fault.choose().processes
        assert process.pid == paper.nursery


def test_the_nursery_is_killed_and_back_when_all_workers_are(paper: PaperSystem) -> None:
    with closing(made(paper, "nursery")) as fault:
        (process,) = fault.choose().processes
        assert process.pid == paper.nursery
        fault.inject()
        assert fault.injected(5).check == "passed"
        paper.end(paper.nursery)
        assert fault.undone().check == "failed"
        paper.child("search-nursery")
        paper.change_worker("search-1", state="starting")
        assert fault.undone().check == "failed", "a worker is missing"
        paper.change_worker("search-1", state="serving")
        paper.change_worker("standby", state="starting")
        assert fault.undone().check == "failed", "the standby is missing"
        paper.change_worker("standby", state="ready")
        assert fault.undone().check == "passed"


@pytest.mark.parametrize(("name", "target"), [("role", {"role": "stream"}), ("nursery", None)])
def test_a_kill_that_does_not_arrive_is_not_injected(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch, name: str, target: dict[str, Scalar] | None
) -> None:
    without(monkeypatch, signal.SIGKILL)
    with closing(made(paper, name, target)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(0.05).check == "failed"
        assert fault.undone().check == "failed"
        again = made(paper, name)
        assert again.resume(fault.choose()).check == "failed"
        assert again.undone().check == "passed", "nothing was killed, so nothing is left"
        again.close()


def test_a_role_or_nursery_that_is_not_there_cannot_be_killed(paper: PaperSystem) -> None:
    with pytest.raises(DrillRejected, match=r"target.role = 'kafka-1': give stream or profiles"):
        made(paper, "role", {"role": "kafka-1"}).choose()
    paper.change(roles=[])
    with pytest.raises(DrillRejected, match="stream does not run on this machine"):
        made(paper, "role").choose()
    paper.end(paper.nursery)
    with pytest.raises(DrillRejected, match="search has 0 nurseries"):
        made(paper, "nursery").choose()
