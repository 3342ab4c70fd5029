"""A canary on a real system: which version answers whom, and what becomes of a challenger that fails."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from consumers.serving.shares import limit, place
from standfast.core.status import ServiceStatus
from tests.support.history import RequestHistory
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

USUAL, TRIED = "toy@1", "toy@2"


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    made = Toys(tmp_path_factory.mktemp("canary"), broker, "canary.", ("search",))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def history(toys: Toys, unique: str) -> Iterator[RequestHistory]:
    """A system whose workers have one model."""
    toys.try_no_longer()
    (toys.home / "toy-fails").unlink(missing_ok=True)
    (toys.home / "toy-refuses").unlink(missing_ok=True)
    alone(toys)
    with RequestHistory(toys.settings, unique) as made:
        yield made


def alone(toys: Toys) -> None:
    """Waits until nothing is left of a canary: no worker has two models."""
    wait_until(lambda: not service(toys).challenger, 60, what="the end of the canary")
    wait_until(lambda: len(toys.nurseries()) == 1 and with_versions(toys) == "1", 90, what="one nursery with one model")
    toys.whole()


def together(toys: Toys) -> None:
    """Waits until every worker has both models."""
    wait_until(
        lambda: len(toys.nurseries()) == 1 and with_versions(toys) == "1+2", 90, what="a nursery with two models"
    )
    toys.whole()


def with_versions(toys: Toys) -> str:
    """The versions of the nursery that has loaded its models last."""
    lines = [line for line in toys.log_file.read_text().splitlines() if '"model is loaded"' in line]
    return lines[-1].split('"versions": "')[1].split('"')[0]


def service(toys: Toys) -> ServiceStatus:
    (row,) = toys.status().services
    return row


def metric(toys: Toys, start: str) -> float:
    """The sum of the values of all lines that begin so."""
    with urllib.request.urlopen(toys.status().metrics_url, timeout=10) as answer:  # noqa: S310 - our own system
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def answered(history: RequestHistory, count: int = 160) -> dict[str, set[str]]:
    """Which models answered each of the sixteen keys."""
    before = len(history.seen)
    for number in range(count):
        history.send(f"heart {number}")
    history.exactly_once()
    models: dict[str, set[str]] = {}
    for seen in history.seen[before:]:
        models.setdefault(history.sent[seen.request_id], set()).add(seen.model)
        assert seen.status == "ok"
    return models


def expected(history: RequestHistory, share: float) -> dict[str, set[str]]:
    """Whom each key belongs to, by its hash alone."""
    keys = set(history.sent.values())
    return {key: {TRIED if place(TRIED, key.encode()) < limit(share) else USUAL} for key in keys}


def test_each_key_is_answered_by_its_version_and_stays_with_it_while_the_canary_grows(
    toys: Toys, history: RequestHistory
) -> None:
    toys.try_beside(2, 0.4)
    together(toys)
    seen = service(toys)
    assert (seen.champion, seen.challenger, seen.share, seen.shadow) == ("search@1", "search@2", 0.4, False)
    assert answered(history) == expected(history, 0.4)
    workers = toys.pids()
    toys.try_beside(2, 0.8)
    wait_until(lambda: service(toys).share == 0.8, 30, what="a larger share")
    wait_until(lambda: answered(history, 32) == expected(history, 0.8), 30, what="workers that know of it")
    assert answered(history) == expected(history, 0.8)
    assert toys.pids() == workers, "a share that changes replaces nobody"
    assert (
        metric(toys, 'standfast_requests_total{model="toy",status="ok",topic="canary.search.requests",version="2"') > 0
    )
    assert metric(toys, 'standfast_canary_share{service="search",version="2"}') == 0.8
    toys.try_no_longer()
    wait_until(lambda: answered(history, 32) == expected(history, 0.0), 30, what="the end of the canary")
    alone(toys)
    assert answered(history) == expected(history, 0.0)


def test_a_challenger_that_fails_is_ended_by_itself_and_no_caller_sees_it(toys: Toys, history: RequestHistory) -> None:
    (toys.home / "toy-fails").write_text("2")
    toys.try_beside(2, 0.5, since=2)
    wait_until(lambda: service(toys).challenger, 30, what="the canary in the status")

    def over() -> bool:
        assert all(models == {USUAL} for models in answered(history, 32).values())
        return bool(service(toys).canary) and not service(toys).challenger

    wait_until(over, 90, what="the end of a canary that fails")
    said = service(toys).canary
    assert said.startswith("search@2 was ended at ")
    assert "that the champion could answer" in said
    assert (toys.home / "toy-ended").read_text() == said
    assert toys.logged("the challenger is worse and was ended") == 1
    assert metric(toys, 'standfast_canaries_ended_total{reason="errors",service="search"}') == 1
    assert metric(toys, 'standfast_requests_total{model="toy",status="overloaded"') == 0
    history.exactly_once()


def test_a_challenger_that_cannot_be_loaded_changes_nothing_and_the_status_says_so(
    toys: Toys, history: RequestHistory
) -> None:
    (toys.home / "toy-refuses").write_text("2")
    before = toys.pids()
    toys.try_beside(2, 0.5, since=3)
    wait_until(lambda: "its file has SHA-256 1" in service(toys).canary, 60, what="the refusal in the status")
    assert service(toys).canary.endswith("the champion serves alone, and it is tried again")
    wait_until(lambda: metric(toys, 'standfast_challenger_refused{service="search"}') == 1, 30, what="the metric")
    assert answered(history) == expected(history, 0.0)
    assert toys.pids() == before


def test_in_the_shadow_the_challengers_answers_are_compared_and_not_sent(toys: Toys, history: RequestHistory) -> None:
    toys.try_beside(2, 0.0, shadow=True, since=4)
    together(toys)
    assert service(toys).shadow

    def compared() -> bool:
        assert all(models == {USUAL} for models in answered(history, 16).values())
        return metric(toys, 'standfast_shadow_overlap_count{service="search",version="2"}') > 30

    wait_until(compared, 60, what="answers compared")
    wait_until(lambda: "overlap 1.00 of" in service(toys).canary, 30, what="the overlap in the status")
