"""A third service needs one file only: it is served, configured and taken over like the others."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from standfast.core import clients
from tests.support.desk import Desk
from tests.support.toys.toys import Toys


class ThirdSystem(Toys):
    """A system that runs the third service only."""

    module = "tests.support.toys.third_system"


@pytest.fixture(scope="module")
def third(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    more = {"STANDFAST_REVERSE__WORKERS": "1", "STANDFAST_REVERSE__LONGEST": "30"}
    made = ThirdSystem(tmp_path_factory.mktemp("third"), broker, "third.", ("reverse",), **more)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def third_desk(third: Toys) -> Desk:
    return Desk(third.settings)


def test_it_is_answered_by_its_own_model(third: Toys, third_desk: Desk, unique: str) -> None:
    with third_desk.reader("reverse.results") as results:
        third_desk.send("reverse.requests", json.dumps({"request_id": unique, "text": "alarm clock"}).encode())
        answer = results.answer(unique)
    assert answer["status"] == "ok"
    assert answer["items"] == [{"item_id": "kcolc mrala", "score": 1.0, "title": "trained"}]
    assert answer["model"] == "reverse@1"
    assert answer["worker"] == "reverse-0"


def test_its_own_setting_counts(third: Toys, third_desk: Desk, unique: str) -> None:
    with third_desk.reader("reverse.results") as results:
        third_desk.send("reverse.requests", json.dumps({"request_id": unique, "text": "x" * 31}).encode())
        answer = results.answer(unique)
    assert (answer["status"], answer["error"]) == ("invalid", "text is longer than 30")


def test_it_has_topics_of_its_own(third: Toys) -> None:
    named = AdminClient(clients.base(third.settings, "third")).list_topics(timeout=30).topics
    wanted = ("requests", "results", "requests.bulk", "results.bulk", "requests.dlq")
    assert {f"third.reverse.{name}" for name in wanted} <= set(named)


def test_a_standby_takes_over_from_its_worker(third: Toys, third_desk: Desk, unique: str) -> None:
    (worker,) = third.active("reverse")
    third.kill(worker.pid)
    with third_desk.reader("reverse.results") as results:
        third_desk.send("reverse.requests", json.dumps({"request_id": unique, "text": "level"}).encode())
        assert results.answer(unique)["status"] == "ok"
    third.whole((worker.pid,))
    assert {row.service for row in third.status().workers} == {"reverse"}
