"""Scaling up and down under load: no request is lost or answered twice, and partitions that stay are served on."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.history import RequestHistory, SeenAnswer
from tests.support.toys.toys import PARTITIONS, Toys
from tests.waiting import wait_until

# session.timeout.ms of the workers: after it Kafka reassigns the partitions of a member that did not leave the group.
SESSION_S = 30


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(
        tmp_path_factory.mktemp("scaling"),
        broker,
        "scaling.",
        ("search",),
        STANDFAST_SEARCH__WORKERS="1",
        STANDFAST_WORKERS__SESSION_TIMEOUT_MS=str(SESSION_S * 1000),
    )
    made.start()
    yield made
    made.stop()


@contextmanager
def load(history: RequestHistory, rate: float, query: str = "heart") -> Iterator[None]:
    """Sends requests to the partitions in turn during the block, at `rate` per second."""
    over = threading.Event()

    def send() -> None:
        begin, number = time.monotonic(), 0
        while not over.is_set():
            history.send(query, number % PARTITIONS)
            number += 1
            over.wait(max(0.0, begin + number / rate - time.monotonic()))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def owners(toys: Toys) -> dict[int, str]:
    """The worker that serves each partition."""
    return {number: row.id for row in toys.active() for number in row.partitions.get(toys.topic("search.requests"), ())}


def answers(history: RequestHistory, partition: int, since: float) -> list[SeenAnswer]:
    """The answers to requests of one partition since a monotonic time."""
    key = f"{history.name}-partition-{partition}"
    return [
        sighting
        for sighting in list(history.seen)
        if sighting.at >= since and history.sent.get(sighting.request_id) == key
    ]


def longest_silence(seen: list[SeenAnswer]) -> float:
    return max(later.at - earlier.at for earlier, later in itertools.pairwise(seen))


def test_up_and_down_under_load(toys: Toys, unique: str) -> None:
    toys.whole()
    with RequestHistory(toys.settings, unique) as history:
        with load(history, 200):
            for workers in (3, 1):
                before = owners(toys)
                wait_until(lambda: len(history.seen) > 50, 60, what="answers before the step")
                began = time.monotonic()
                toys.scale(workers)
                settled = time.monotonic()
                after = owners(toys)
                assert len(set(after.values())) == workers
                for partition in range(PARTITIONS):
                    seen = wait_until(
                        lambda number=partition, since=settled: answers(history, number, since),  # type: ignore[misc]
                        60,
                        what=f"answers from partition {partition}",
                    )
                    seen = answers(history, partition, began)
                    assert longest_silence(seen) < SESSION_S / 2
                    if before[partition] == after[partition]:
                        assert {sighting.worker for sighting in seen} == {after[partition]}
                        assert any(sighting.at < settled for sighting in seen), (
                            f"{partition} stood still, and nobody wanted it"
                        )
        history.exactly_once()
    assert toys.logged("worker has left") == 2
    assert toys.scaling().reason == "asked for by hand"
    assert {row.role for row in toys.status().workers} == {"active", "standby"}


def test_a_worker_that_dies_before_it_has_left_is_replaced_and_its_successor_leaves(toys: Toys, unique: str) -> None:
    toys.scale(2)
    toys.whole()
    victim = next(row for row in toys.active() if row.id == "search-1")
    left = toys.logged("worker has left")
    with RequestHistory(toys.settings, unique) as history:
        with load(history, 100):
            wait_until(lambda: len(history.seen) > 50, 60, what="answers before the step")
            toys.kill(victim.pid, signal.SIGSTOP)  # a stopped process cannot leave, and is killed for that
            toys.scale(1)
            assert len(set(owners(toys).values())) == 1
        history.exactly_once()
    assert toys.logged("worker has left") == left + 1
    toys.whole((victim.pid,))


def test_more_are_wanted_again_before_the_last_one_has_left(toys: Toys, unique: str) -> None:
    toys.scale(3)
    with RequestHistory(toys.settings, unique) as history:
        with load(history, 100):
            wait_until(lambda: len(history.seen) > 50, 60, what="answers before the step")
            for workers in (1, 3, 2, 3, 1):
                toys.order(workers)
            wait_until(lambda: toys.scaling().settled, 90, what="one worker that serves all")
            assert len(set(owners(toys).values())) == 1
        history.exactly_once()


def test_the_number_holds_until_the_system_is_stopped_in_order(broker: str, tmp_path: Path) -> None:
    toys = Toys(tmp_path / "home", broker, "scaled.", ("search",), STANDFAST_SEARCH__WORKERS="1")
    try:
        toys.start()
        toys.scale(2)
        toys.stop(signal.SIGKILL)
        toys.start()
        wait_until(lambda: toys.scaling().workers == 2 and toys.scaling().settled, 60, what="two workers again")
        toys.stop()
        toys.start()
        assert toys.scaling().workers == 1
    finally:
        toys.stop()


def test_the_load_decides(broker: str, tmp_path: Path, unique: str) -> None:
    toys = Toys(
        tmp_path / "home",
        broker,
        "auto.",
        ("search",),
        STANDFAST_SEARCH__WORKERS="auto",
        STANDFAST_SEARCH__MAX_WORKERS="3",
        STANDFAST_SCALING__TARGET_WAIT_MS="200",
        STANDFAST_SCALING__UP_AFTER_S="1",
        STANDFAST_SCALING__DOWN_AFTER_S="3",
        STANDFAST_SCALING__COOLDOWN_S="1",
    )
    toys.start()
    try:
        assert toys.scaling().workers == 1
        with RequestHistory(toys.settings, unique) as history:
            with load(history, 60, "sleep 0.03"):  # twice what one worker can do
                wait_until(lambda: toys.scaling().workers > 1, 60, what="a further worker")
            history.exactly_once()
        wait_until(lambda: toys.scaling().workers == 1 and toys.scaling().settled, 90, what="a single worker again")
        assert toys.logged("the backlog would have taken") >= 1
        assert toys.logged("% busy or less") >= 1
        metrics = httpx.get(toys.status().metrics_url, timeout=30).text
        assert 'standfast_scaling_steps_total{direction="up",reason="backlog",service="search"}' in metrics
        assert 'standfast_scaling_steps_total{direction="down",reason="idle",service="search"}' in metrics
        assert 'standfast_workers_wanted{service="search"} 1.0' in metrics
    finally:
        toys.stop()
