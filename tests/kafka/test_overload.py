"""An overloaded worker answers the requests that it can answer in time, refuses the others at once, and recovers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import mean

import pytest
from confluent_kafka import Message, Producer

from standfast.core import clients
from tests.support.desk import Desk, Header, TopicReader
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

_EACH_S = 0.02
_BATCH = 4


@contextmanager
def toys_of(broker: str, tmp_path_factory: pytest.TempPathFactory, name: str, **more: str) -> Iterator[Toys]:
    settings = {"STANDFAST_SEARCH__WORKERS": "1", "STANDFAST_SEARCH__BATCH": str(_BATCH), **more}
    made = Toys(tmp_path_factory.mktemp(name), broker, f"{name}.", ("search",), **settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    with toys_of(broker, tmp_path_factory, "overload") as made:
        yield made


def flood(desk: Desk, name: str, topic: str, count: int, headers: Sequence[Header] = ()) -> list[str]:
    """Sends `count` requests at once, of 20 ms of work each (`_EACH_S`); returns their ids."""
    producer = Producer(clients.producer(desk.settings, "flood"))
    ids = [f"{name}-{number}" for number in range(count)]
    for request_id in ids:
        value = json.dumps({"request_id": request_id, "query": f"sleep {_EACH_S}"}).encode()
        producer.produce(desk.topic(topic), value, request_id, headers=list(headers))
    assert producer.flush(60) == 0
    return ids


def answers(reader: TopicReader, ids: Sequence[str]) -> dict[str, tuple[str, Message]]:
    """The status and the record of the answer to each request; fails if a request has two."""
    wanted = set(ids)

    def arrived() -> list[tuple[str, str, Message]]:
        reader.read(0.1)
        fields = [(json.loads(message.value() or b""), message) for message in reader.messages]
        return [(row["request_id"], row["status"], message) for row, message in fields if row["request_id"] in wanted]

    rows = wait_until(lambda: rows if len(rows := arrived()) >= len(ids) else None, 90, what="an answer to each")
    assert len(rows) == len({name for name, *_ in rows}), "answered twice"
    return {name: (status, message) for name, status, message in rows}


def test_of_a_flood_what_can_be_answered_in_time_is_and_the_rest_is_refused(desk: Desk, unique: str) -> None:
    with desk.reader("search.results") as results:
        deadline_ms = int(time.time() * 1000) + 2000
        ids = flood(desk, unique, "search.requests", 400, [("deadline-ms", str(deadline_ms).encode())])
        rows = answers(results, ids)
        statuses = [status for status, _ in rows.values()]
        assert set(statuses) == {"ok", "deadline_exceeded"}
        computed = statuses.count("ok")
        assert computed * _EACH_S <= 2.5, "no request was computed after its deadline"
        late = sum(message.timestamp()[1] > deadline_ms + 500 for status, message in rows.values() if status == "ok")
        assert late <= computed / 4, "what was computed came in time"
        (again,) = flood(desk, unique + "-again", "search.requests", 1)
        assert answers(results, [again])[again][0] == "ok", "it recovers by itself"


def test_interactive_requests_pass_bulk_ones(desk: Desk, unique: str) -> None:
    with desk.reader("search.results") as results, desk.reader("search.results.bulk") as bulk_results:
        bulk = flood(desk, unique + "-bulk", "search.requests.bulk", 150)
        wait_until(lambda: bulk_results.read(0.05), 60, what="the first bulk answer")
        rows = answers(results, flood(desk, unique, "search.requests", 10))
        assert {status for status, _ in rows.values()} == {"ok"}
        assert len(bulk_results.messages) < len(bulk), "they did not wait for the bulk requests to end"
        assert {status for status, _ in answers(bulk_results, bulk).values()} == {"ok"}


def test_with_newest_first_the_oldest_make_room(
    broker: str, tmp_path_factory: pytest.TempPathFactory, unique: str
) -> None:
    with toys_of(broker, tmp_path_factory, "newest", STANDFAST_SEARCH__ORDER="newest") as toys:
        desk = Desk(toys.settings)
        with desk.reader("search.results") as results:
            answers(results, flood(desk, f"{unique}-first", "search.requests", 2 * _BATCH))  # it learns its pace
            ids = flood(desk, unique, "search.requests", 300)
            rows = answers(results, ids)
            by_age = [rows[request_id][0] for request_id in ids]
            assert set(by_age) == {"ok", "overloaded"}
            age = {status: mean(n for n, actual in enumerate(by_age) if actual == status) for status in set(by_age)}
            assert age["ok"] > age["overloaded"], "those that came later are answered"
            assert by_age.count("ok") * _EACH_S < 300 * _EACH_S / 2
