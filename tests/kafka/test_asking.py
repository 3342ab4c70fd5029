"""A model that fails on every request is reported and recovers; cached answers live as long as the model's version."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.desk import Desk, TopicReader
from tests.support.toys.toys import Toys
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    more = {"STANDFAST_SEARCH__WORKERS": "1", "STANDFAST_SEARCH__CACHE": "100"}
    made = Toys(tmp_path_factory.mktemp("asking"), broker, "asking.", ("search",), **more)
    made.start()
    yield made
    made.stop()


class Asker:
    """Sends one search at a time and waits for its answer."""

    def __init__(self, desk: Desk, results: TopicReader, name: str) -> None:
        self._desk, self._results, self._name = desk, results, name
        self._asked = 0

    def ask(self, query: str, user: str | None = None) -> dict[str, object]:
        """The answer to a new request."""
        self._asked += 1
        request_id = f"{self._name}-{self._asked}"
        fields = {"request_id": request_id, "query": query, "user_id": user}
        self._desk.send("search.requests", json.dumps(fields).encode())
        return self._results.answer(request_id)

    def status(self, query: str) -> str:
        """The status of the answer to a new request."""
        return str(self.ask(query)["status"])


@pytest.fixture
def caller(desk: Desk, results: TopicReader, unique: str) -> Asker:
    return Asker(desk, results, unique)


def metric(toys: Toys, name: str, **labels: str) -> float:
    """The value of a metric as Prometheus scrapes it; 0 if the metric is not there."""
    page = httpx.get(toys.status().metrics_url, timeout=30).text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_a_model_that_fails_for_ever_says_so_and_recovers(toys: Toys, desk: Desk, caller: Asker, unique: str) -> None:
    fails = toys.home / "toy-fails"
    topic = toys.topic("search.requests")
    assert caller.status(f"{unique} before") == "ok"
    with desk.reader("search.requests.dlq") as dead:
        fails.touch()
        answers = [caller.ask(f"{unique} {number}") for number in range(5)]
        assert {answer["status"] for answer in answers} == {"overloaded"}
        for part in ("toy@1", "RuntimeError: device-side assert triggered", "standfast models rollback search"):
            assert part in str(answers[0]["error"])
        assert caller.status(f"{unique} before") == "ok", "what is known is still answered"
        wait_until(lambda: "RuntimeError" in toys.status().detail, what="a status that says it")
        assert [worker.failing for worker in toys.active()] == [toys.status().detail]
        wait_until(lambda: metric(toys, "standfast_breaker_open", topic=topic) == 1, what="a metric that says it")
        fails.unlink()
        wait_until(lambda: caller.status(f"{unique} after") == "ok", what="an answer of the model that works again")
        assert caller.status(f"{unique} more") == "ok"
        wait_until(lambda: not toys.status().detail and not toys.active()[0].failing, what="a status that says it")
        wait_until(lambda: metric(toys, "standfast_breaker_open", topic=topic) == 0, what="a metric that says it")
        assert dead.read(1.0) == dead.messages == []
    assert (toys.logged("the breaker is open"), toys.logged("the breaker is closed")) == (1, 1)


def test_a_query_is_computed_once_for_each_version_of_the_model(toys: Toys, caller: Asker) -> None:
    def looked_up(result: str) -> float:
        return metric(toys, "standfast_cache_lookups_total", topic=toys.topic("search.requests"), result=result)

    def answered() -> float:
        return metric(toys, "standfast_requests_total", topic=toys.topic("search.requests"), status="ok")

    def titles(answer: dict[str, object]) -> list[str]:
        items = answer["items"]
        assert isinstance(items, list)
        return [str(item["title"]) for item in items]

    hits, misses, before = looked_up("hit"), looked_up("miss"), answered()
    assert [titles(caller.ask("version", user)) for user in ("u1", "u2", "u3")] == [["toy@1"]] * 3
    assert (looked_up("hit") - hits, looked_up("miss") - misses) == (2, 1)
    assert answered() == before + 3, "an answer from the cache is an answer"
    (toys.home / "toy-version").write_text("2")
    wait_until(lambda: {worker.model for worker in toys.active()} == {"toy@2"}, 90, what="a worker with the new model")
    toys.whole()
    answer = caller.ask("version", "u1")
    assert (answer["model"], titles(answer)) == ("toy@2", ["toy@2"])
    assert looked_up("miss") - misses == 2
