"""Records near and beyond `max.message.bytes` hold up no other request. They have their own Kafka, which they fill."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from standfast.core import clients
from standfast.kafka.cluster import Cluster
from tests.support.desk import Desk, has
from tests.support.raw_records import RawRecord, batch, refusal, send
from tests.support.toys.toys import Toys

MIB = 1 << 20


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    folder = tmp_path_factory.mktemp("large")
    with Cluster(brokers=1, folder=folder / "kafka") as cluster:
        made = Toys(folder / "home", cluster.bootstrap_servers, "large.", ("search",))
        made.start()
        yield made
        made.stop()


def search(request_id: str, query: str = "heart", **more: object) -> bytes:
    return json.dumps({"request_id": request_id, "query": query, **more}).encode()


def test_an_answer_too_large_for_its_topic_is_kept_as_a_dead_letter(toys: Toys) -> None:
    """An answer has all headers of its request; with them it may be too large for the result topic."""
    desk = Desk(toys.settings)
    with desk.reader("search.results") as results, desk.reader("search.requests.dlq") as dead:
        desk.send("search.requests", search("r1"), b"k", [("n", b"1"), ("bulk", b"x" * (MIB - 200))])
        desk.send("search.requests", search("r2"), b"k")
        assert results.answer("r2")["status"] == "ok"
        letter = dead.until(has("n", b"1"))
    assert letter.value() == search("r1")
    assert b"MSG_SIZE_TOO_LARGE" in (dict(letter.headers() or [])["error-reason"] or b"")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_small_record_that_holds_much_is_refused(toys: Toys, codec: str) -> None:
    """Kafka judged it by its compressed size, and every client that fetched it had to unpack all of it."""
    pids, admin = toys.pids(), AdminClient(clients.base(toys.settings, "test"))
    bomb = batch([RawRecord(b" " * 20 * MIB)], codec)
    assert len(bomb) < MIB, "compressed, the topics would take it"
    for topic in ("search.requests", "search.requests.bulk", "recommend.requests", "interactions", "drills.control"):
        assert refusal(admin, toys.topic(topic), 0, bomb) == KafkaError.MSG_SIZE_TOO_LARGE, topic
    desk = Desk(toys.settings)
    with desk.reader("search.results") as results:
        send(
            admin, toys.topic("search.requests"), 0, batch([RawRecord(search(f"{codec}-{n}")) for n in range(9)], codec)
        )
        assert [results.answer(f"{codec}-{n}")["status"] for n in range(9)] == ["ok"] * 9
    assert toys.pids() == pids, "a worker died of it"


def test_records_of_20_mb_are_survived_where_they_are_allowed(toys: Toys) -> None:
    """A dead letter too large for its topic blocked its partition for ever."""
    pids = toys.pids()
    desk = Desk(toys.settings)
    desk.configure("search.requests", max_message_bytes=str(32 * MIB))
    with desk.reader("search.results") as results, desk.reader("search.requests.dlq") as dead:
        desk.send("search.requests", b"x" * 20 * MIB, b"k", [("n", b"cut")])
        desk.send("search.requests", search("long", "x" * 20 * MIB), b"k")
        desk.send("search.requests", search("padded", padding="x" * 20 * MIB), b"k")
        assert "20971520 characters" in str(results.answer("long")["error"])
        assert results.answer("padded")["status"] == "ok"
        cut = dead.until(has("error-value-bytes", b"20971520"))
        assert (cut.value() or b"", dict(cut.headers() or [])["error-topic"]) == (b"", b"large.search.requests")
        desk.configure("search.requests.dlq", max_message_bytes=str(33 * MIB))
        desk.send("search.requests", b"y" * 20 * MIB, b"k", [("n", b"whole")])
        assert dead.until(has("n", b"whole")).value() == b"y" * 20 * MIB
        desk.send("search.requests", search("afterwards"), b"k")
        assert results.answer("afterwards")["status"] == "ok"
    assert toys.pids() == pids, "a worker died of it"
