"""Faults in models: each sees whether the model suffered, and whether anything is left, also after a broken undo.

The process has a worker's own guards around a small model; the status that says who it is is the test's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from consumers.channel.disturbance import Disturbance, disturbance_file
from drills.faults import FAULTS, model_file_corrupt
from drills.faults.injector import Injector
from drills.faults.model_bit_flip import ModelBitFlip
from models import registry
from schemas.records import Scalar
from standfast.core.errors import DeviceLost, DrillRejected, IntegrityError, WeightsDamaged
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


# a file ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def version(paper: PaperSystem) -> Path:
    """The folder of the active version, `search@1`, which all workers have."""
    registry.publish("search", _fill)
    registry.activate("search", 1)
    for row in paper.status.workers:
        paper.change_worker(row.id, model="search@1")
    return registry.folder_of("search", 1)


def _fill(folder: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    (folder / "sub").mkdir()
    (folder / "sub" / "words.json").write_text('{"a": 1}')
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 64)
    return {}, {}


def file_fault(paper: PaperSystem, how: str = "flip", seed: int = 0) -> Injector:
    kind = FAULTS["model-file-corrupt"]
    return kind.make(paper.system, kind.aim({}, {"how": how}, seed))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_damaged_file_is_refused_and_every_byte_is_back_after_the_undo(
    paper: PaperSystem, version: Path, how: str, seed: int
) -> None:
    before = contents(version)
    with closing(file_fault(paper, how, seed)) as fault:
        file = str(fault.choose().before["file"])
        assert fault.choose().before["file"] == file
        fault.inject()
        injected = fault.injected(1)
        assert injected.check == "passed"
        assert injected.text.startswith("a load of search@1 is refused: search@1: ")
        with pytest.raises(IntegrityError):
            registry.checked("search", 1)
        assert contents(version)[file] != before[file]
        assert fault.undone().check == "failed"
        fault.undo()
        fault.undo()
        assert contents(version) == before
        assert "search@1 has the SHA-256 of its manifest again; 2 of 2 workers serve it" in undone(fault)


def test_a_file_that_nobody_damages_is_not_injected(
    paper: PaperSystem, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file_corrupt, "_damage", lambda *_, **__: None)
    with closing(file_fault(paper)) as fault:
        fault.choose()
        fault.inject()
        assert fault.injected(1).check == "failed"
        fault.undo()


def test_a_file_that_is_not_moved_back_or_is_another_one_is_not_undone(
    paper: PaperSystem, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(file_fault(paper)) as fault:
        file = version / str(fault.choose().before["file"])
        fault.inject()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: None)
            fault.undo()
        assert "is not back in its place" in fault.undone().text
        fault.undo()
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        assert "search@1 is still damaged" in fault.undone().text
        file.write_bytes(whole)
        paper.change_worker("search-1", model="search@7")
        assert "1 of 2 workers serve it" in fault.undone().text
        paper.change_worker("search-1", model="search@1")
        assert undone(fault)


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_wherever_the_agent_was_killed_the_next_one_moves_the_file_back(
    paper: PaperSystem, version: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """It is killed before the first move, between the two, or after both."""
    before, left, move = contents(version), [moves], Path.replace
    first = file_fault(paper)
    target = first.choose()

    def some(path: Path, to: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return move(path, to)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "replace", some)
        first.inject()
    with closing(file_fault(paper)) as again:
        assert again.resume(target).check == ("unknown" if moves == 0 else "passed")
        again.undo()
        assert contents(version) == before
        assert undone(again)


def test_a_disk_without_room_for_the_copy_injects_nothing(
    paper: PaperSystem, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(version)
    monkeypatch.setattr(model_file_corrupt.shutil, "copyfile", _full)
    with closing(file_fault(paper)) as fault:
        fault.choose()
        with pytest.raises(DrillRejected, match=r"nothing was injected: .* cannot be copied"):
            fault.inject()
    assert contents(version) == before


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_version_that_is_damaged_already_or_missing_is_no_target(paper: PaperSystem) -> None:
    with pytest.raises(DrillRejected, match="nothing was injected: no search model is active"):
        file_fault(paper).choose()
    registry.publish("search", _fill)
    registry.activate("search", 1)
    (registry.folder_of("search", 1) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(DrillRejected, match=r"nothing was injected: search@1: .* has 0 bytes"):
        file_fault(paper).choose()
