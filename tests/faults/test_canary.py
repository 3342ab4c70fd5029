"""Canaries that begin, grow and end under load, with a worker killed in each: nothing is lost, doubled or left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.test_failover import loading, serving
from tests.support.history import RequestHistory
from tests.support.toys.toys import Toys, is_alive
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("canaries"), broker, "canaries.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def history(toys: Toys, unique: str) -> Iterator[RequestHistory]:
    toys.whole()
    with RequestHistory(toys.settings, unique) as made:
        yield made


def kill_one(toys: Toys) -> None:
    """Kills a worker, and returns when it is gone."""
    victim = serving(toys, 0)
    toys.kill(victim.pid)
    wait_until(lambda: not is_alive(victim.pid), 60, what="the end of the worker")


def has_answered(history: RequestHistory, model: str, since: int) -> bool:
    return any(seen.model == model for seen in history.seen[since:])


def test_canaries_begin_grow_end_and_serve_under_load_while_workers_are_killed(
    toys: Toys, history: RequestHistory
) -> None:
    load = loading(history, 3000, 100)
    wait_until(lambda: len(history.seen) > 50, 60, what="answers before the first canary")
    toys.try_beside(2, 0.3)
    kill_one(toys)
    wait_until(lambda: has_answered(history, "toy@2", 0), 60, what="an answer of the challenger")
    mark = len(history.seen)
    toys.try_beside(2, 0.9)
    kill_one(toys)
    wait_until(lambda: has_answered(history, "toy@2", mark), 60, what="an answer of the challenger that grew")
    toys.try_no_longer()
    kill_one(toys)
    wait_until(lambda: {row.challenger for row in toys.status().services} == {""}, 60, what="the end of the canary")
    toys.whole()
    toys.try_beside(2, 0.5, since=2)
    wait_until(lambda: has_answered(history, "toy@2", len(history.seen) - 20), 60, what="the second canary")
    (toys.home / "toy-version").write_text("2")
    toys.try_no_longer()
    kill_one(toys)
    wait_until(lambda: {worker.model for worker in toys.active()} == {"toy@2"}, 90, what="workers with the new model")
    load.join(120)
    history.exactly_once()
    assert {seen.status for seen in history.seen} == {"ok"}
    toys.whole()


def test_a_challenger_that_kills_its_worker_is_ended_and_each_of_its_requests_is_answered(
    toys: Toys, history: RequestHistory
) -> None:
    """A record that kills twice is set aside; a challenger has it only once."""
    champion = int(next(iter({worker.model for worker in toys.active()})).rpartition("@")[2])
    (toys.home / "toy-kills").write_text(str(champion + 1))
    toys.try_beside(champion + 1, 0.5, since=3)
    load = loading(history, 400, 20)
    wait_until(lambda: "workers died while it computed" in toys.status().services[0].canary, 90, what="its end")
    load.join(120)
    history.exactly_once()
    assert {seen.status for seen in history.seen} == {"ok"}
    assert {seen.model for seen in history.seen} == {f"toy@{champion}"}
    toys.whole()
