"""Faults in models: each sees whether the model suffered, and whether anything is left, also after a broken undo.

The process has a worker's own guards around a small model; the status that says who it is is the test's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumers.channel.disturbance import Disturbance, disturbance_file
from drills.faults import FAULTS
from drills.faults.injector import Injector
from drills.faults.model_bit_flip import ModelBitFlip
from schemas.records import Scalar
from standfast.core.errors import DeviceLost, DrillRejected, WeightsDamaged
from standfast.core.home import folder
from tests.support.paper_system import PaperSystem, paper_system
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("state")
LIVED_THROUGH = ("model-nan", "model-slow", "model-out-of-memory")


@pytest.fixture
def paper(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperSystem]:
    with paper_system(monkeypatch) as made:
        yield made


def made(paper: PaperSystem, name: str, seed: int = 0, **params: Scalar) -> Injector:
    kind = FAULTS[name]
    return kind.make(paper.system, kind.aim({"worker": "search-0"}, params, seed))


def status_of(pid: int, paper: PaperSystem) -> int:
    """The exit status of the process, which has to end."""
    return next(child for child in paper.children if child.pid == pid).wait(20)


def undone(fault: Injector) -> str:
    """What is said once nothing is left of it."""
    found = wait_until(lambda: now if (now := fault.undone()).check == "passed" else None, what="the undo")
    assert found is not None
    return found.text


@pytest.mark.parametrize("name", LIVED_THROUGH)
def test_a_model_suffers_until_the_undo_and_its_worker_lives_on(paper: PaperSystem, name: str) -> None:
    pid = paper.suffering()
    with closing(made(paper, name)) as fault:
        target = fault.choose()
        assert (target.before, target.gone) == ({"slot": "slot-0"}, ())
        fault.inject()
        injected = fault.injected(5)
        assert injected.check == "passed", injected
        assert f"the model of search-0 (process {pid})" in injected.text
        assert not fault.lasted()
        assert fault.undone().check == "failed"
        fault.undo()
        fault.undo()
        assert "it lives on, without an order" in undone(fault)


@pytest.mark.parametrize("name", [*LIVED_THROUGH, "model-bit-flip", "model-device-lost"])
def test_an_order_that_does_not_arrive_is_not_injected(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paper.suffering()
    monkeypatch.setattr(Disturbance, "order", lambda *_: None)
    with closing(made(paper, name)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(0.3).check == "failed"


@pytest.mark.parametrize("name", LIVED_THROUGH)
def test_an_order_that_stays_is_not_undone_and_ends_by_itself(
    paper: PaperSystem, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    paper.suffering()
    monkeypatch.setattr(Disturbance, "clear", lambda _: None)
    with closing(made(paper, name, at_most_s=1.0)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        fault.undo()
        assert "is still to suffer" in fault.undone().text
        wait_until(fault.lasted, what="the end of the order")
        assert undone(fault)


@pytest.mark.parametrize("name", LIVED_THROUGH)
def test_a_model_that_does_not_answer_again_is_not_undone(paper: PaperSystem, name: str) -> None:
    paper.suffering()
    with closing(made(paper, name)) as fault:
        fault.choose()
        fault.inject()
        fault.undo()
        paper.change_worker(failing="the model has failed on every request")
        assert fault.undone().check == "failed"
        paper.change_worker(failing="")
        assert undone(fault)


def test_an_order_whose_giver_was_killed_is_undone_by_another(paper: PaperSystem) -> None:
    paper.suffering()
    first = made(paper, "model-nan")
    target = first.choose()
    first.inject()
    assert first.injected(5).check == "passed"
    with closing(made(paper, "model-nan")) as again:
        assert again.resume(target).check == "passed"
        assert again.undone().check == "failed"
        again.undo()
        assert undone(again)
    first.close()


def test_an_order_whose_giver_was_killed_ends_by_itself(paper: PaperSystem) -> None:
    paper.suffering()
    fault = made(paper, "model-slow", at_most_s=0.5, by_ms=50)
    fault.choose()
    fault.inject()
    assert fault.injected(5).check == "passed"
    fault.close()
    file = Disturbance(disturbance_file(folder("run", "slots"), "slot-0"))
    wait_until(lambda: file.kind is None, what="the end of the order")
    suffered = file.suffered
    time.sleep(0.2)
    assert file.suffered <= suffered + 1, "at most the batch that had begun"
    file.close()


# a bit ----------------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_is_found_by_the_worker_which_ends_and_the_time_is_told(paper: PaperSystem) -> None:
    pid = paper.suffering(check_s=0.3)
    with closing(made(paper, "model-bit-flip")) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        wait_until(fault.lasted, what="what the worker finds")
        assert status_of(pid, paper) == WeightsDamaged.exit_code
        assert isinstance(fault, ModelBitFlip)
        found = fault.response()
        assert found.check == "passed"
        assert "the flipped bit was found" in found.text
        fault.undo()
        paper.change_worker(pid=paper.child())
        assert "it has ended of that and was replaced" in undone(fault)


def test_a_flipped_bit_that_nobody_finds_is_told_and_flipped_back(paper: PaperSystem) -> None:
    paper.suffering(check_s=0)
    with closing(made(paper, "model-bit-flip", at_most_s=1.0)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        assert fault.undone().check == "failed"
        wait_until(fault.lasted, what="the end of the order")
        assert isinstance(fault, ModelBitFlip)
        assert fault.response().check == "failed"
        assert "nobody found the flipped bit in 1." in fault.response().text
        fault.undo()
        assert "its weights are again those that were loaded" in undone(fault)


def test_a_bit_that_is_not_flipped_back_is_not_undone(paper: PaperSystem) -> None:
    paper.suffering(check_s=0)
    with closing(made(paper, "model-bit-flip")) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        file = Disturbance(disturbance_file(folder("run", "slots"), "slot-0"))
        fault.undo()
        undone(fault)
        file._words[4] = 0  # as if the worker had not taken it back
        assert "is still flipped" in fault.undone().text
        file.close()


def test_a_worker_that_ends_of_something_else_has_not_found_the_bit(paper: PaperSystem) -> None:
    pid = paper.suffering(check_s=0)
    with closing(made(paper, "model-bit-flip")) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        paper.replace_worker()
        assert not Path(f"/proc/{pid}").exists()
        wait_until(fault.lasted, what="the end of the process")
        assert isinstance(fault, ModelBitFlip)
        assert fault.response().check == "unknown"


# a device -------------------------------------------------------------------------------------------------------------


def test_a_worker_whose_device_is_lost_ends_and_another_one_has_to_serve(paper: PaperSystem) -> None:
    pid = paper.suffering()
    with closing(made(paper, "model-device-lost")) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(5).check == "passed"
        assert status_of(pid, paper) == DeviceLost.exit_code
        fault.undo()
        assert fault.undone().check == "failed", "the status still names the old process"
        paper.change_worker(pid=paper.child())
        assert undone(fault)


def test_a_worker_that_serves_on_with_a_lost_device_fails_the_drill(paper: PaperSystem) -> None:
    paper.suffering()
    with closing(made(paper, "model-device-lost", at_most_s=0.1)) as fault:
        fault.choose()
        fault.undo()
        assert "search-0 was not replaced" in fault.undone().text


def test_a_worker_of_an_older_version_takes_no_orders(paper: PaperSystem) -> None:
    with pytest.raises(DrillRejected, match="takes no orders for its model"):
        made(paper, "model-nan").choose()


def test_a_process_that_begins_anew_has_no_order(state: Path) -> None:
    file = Disturbance(disturbance_file(folder("run", "slots"), "slot-0"))
    file.order("nan", 60)
    file.suffer()
    assert (file.kind, file.suffered) == ("nan", 1)
    file.reset()
    assert (file.kind, file.suffered, file.is_taken_back, file.found_at) == (None, 0, False, None)
    file.close()
