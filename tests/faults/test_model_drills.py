"""Drills on models, on a whole system: what is wrong is not published, and a worker that is beyond help is replaced."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator

import pytest

from schemas.codec import Codec
from schemas.records import Result
from tests.faults.test_process_drills import WholeToys, holds, is_whole, run
from tests.support.desk import TopicReader
from tests.support.drill_stage import DrillStage
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
SLOW = pytest.mark.slow
ALL_RIGHT = 1.0  # the score of an answer of the toy model with weights that nobody has changed


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = WholeToys(
        tmp_path_factory.mktemp("models") / "home",
        broker,
        f"models{time.time_ns()}.",
        ("search",),
        STANDFAST_WORKERS__CHECK_WEIGHTS_S="4",
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stage(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrillStage]:
    monkeypatch.setenv("STANDFAST_HOME", str(toys.home))
    wait_until(lambda: is_whole(toys), 120, what="a whole system")
    stage = DrillStage(toys.settings)
    yield stage
    stage.close()


def pids(toys: Toys) -> dict[str, int]:
    return {row.id: row.pid for row in toys.active()}


def metric(toys: Toys, start: str) -> float:
    """The sum of the values of all lines that begin so."""
    with urllib.request.urlopen(toys.status().metrics_url, timeout=10) as answer:  # noqa: S310 - our own system
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def test_scores_that_are_no_numbers_are_not_published_and_nobody_is_replaced(stage: DrillStage, toys: Toys) -> None:
    before = pids(toys)
    last = run(stage, "model-nan")
    holds(last)
    assert any("gave scores that are no numbers" in finding for finding in last.findings or ())
    assert pids(toys) == before
    assert metric(toys, 'standfast_wrong_answers_total{reason="not_finite"') > 0
    assert metric(toys, 'standfast_requests_total{model="toy",status="overloaded"') > 0


def test_a_flipped_bit_is_found_and_its_worker_publishes_nothing_after_that(
    stage: DrillStage, toys: Toys, results: TopicReader
) -> None:
    before = pids(toys)
    last = run(stage, "model-bit-flip")
    holds(last)
    (found,) = [finding for finding in last.findings or () if "the flipped bit was found" in finding]
    assert float(found.split(" ms after")[0].rsplit(" ", 1)[1]) < 8_000, "one round of the watch takes 4 s"
    assert len(set(pids(toys).items()) - set(before.items())) == 1, "that worker alone was replaced"
    assert toys.logged("is damaged in memory and answers nothing more") >= 1
    assert metric(toys, 'standfast_damaged_weights_total{process="worker"') == 1
    assert metric(toys, 'standfast_damaged_weights_total{process="nursery"') == 0
    by_worker = scores(results)
    assert any("0" in marks for marks in by_worker), "every answer depends on the weight whose bit was flipped"
    for marks in by_worker:
        assert re.fullmatch("1*0*1*", marks), f"right, wrong until it was found, and right ever after: {marks}"


@pytest.mark.parametrize(
    ("drill", "replaced"),
    [
        ("model-device-lost", 1),
        pytest.param("model-out-of-memory", 0, marks=SLOW),
        pytest.param("model-slow", 0, marks=SLOW),
    ],
)
def test_the_system_holds(stage: DrillStage, toys: Toys, drill: str, replaced: int) -> None:
    before = pids(toys)
    holds(run(stage, drill))
    assert len(set(pids(toys).items()) - set(before.items())) == replaced


def test_when_the_active_version_cannot_be_loaded_any_more_the_last_good_one_serves(
    stage: DrillStage, toys: Toys
) -> None:
    (toys.home / "toy-version").write_text("2")
    wait_until(lambda: is_whole(toys) and models(toys) == {"toy@2"}, 60, what="the new version")
    wait_until(lambda: len(toys.nurseries()) == 1, 60, what="the end of the old version's nursery")
    (toys.home / "toy-refuses").write_text("2")
    (nursery,) = toys.nurseries()
    toys.kill(nursery)
    wait_until(lambda: is_whole(toys) and models(toys) == {"toy@1"}, 60, what="the last good version")
    status = toys.status()
    assert status.detail == "toy@2: its file has SHA-256 1, the manifest says 2; toy@1 serves in its place"
    assert metric(toys, 'standfast_model_refused{service="search"}') == 1
    (toys.home / "toy-refuses").unlink()
    (toys.home / "toy-version").write_text("1")
    wait_until(lambda: toys.status().detail == "", 60, what="a version that can be loaded")


def scores(results: TopicReader) -> list[str]:
    """For each worker and partition of answers, in their order: 1 for a right score, 0 for a wrong one."""
    codec, marks = Codec(), defaultdict[tuple[str, int], str](str)
    while results.read(1.0):
        continue
    for message in results.messages:
        result, _ = codec.decode(message.value(), Result)
        for item in result.items:
            marks[result.worker, message.partition() or 0] += "1" if item.score == ALL_RIGHT else "0"
    return list(marks.values())


def models(toys: Toys) -> set[str]:
    return {row.model for row in toys.status().workers}
