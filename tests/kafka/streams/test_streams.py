"""The stream processor as a process, on a real Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.codec import Encoding
from schemas.records import Interaction, Item, Label, Profile, Result, TrafficWindow
from standfast.core import clients
from tests.support.shop import CODEC, ShopSystem
from tests.waiting import wait_until


def shop_of(broker: str, tmp: Path, prefix: str) -> Iterator[ShopSystem]:
    shop = ShopSystem(broker, prefix, tmp)
    shop.start()
    try:
        yield shop
    finally:
        shop.kill()


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopSystem]:
    """A system whose one stream processor serves several tests."""
    yield from shop_of(broker, tmp_path_factory.mktemp("shop"), f"s{time.time_ns()}.")


@pytest.fixture
def own_shop(broker: str, tmp_path: Path, unique: str) -> Iterator[ShopSystem]:
    """A system for one test only."""
    yield from shop_of(broker, tmp_path, f"{unique}.")


def test_a_purchase_is_in_the_profile_within_two_seconds(shop: ShopSystem) -> None:
    profiles = shop.read("profiles")
    shop.buy("warm", "up")
    wait_until(lambda: profiles.items_of("warm"), what="first profile")
    began = time.monotonic()
    shop.buy("u7", "85123A")
    assert wait_until(lambda: profiles.items_of("u7"), what="profile of u7") == ["85123A"]
    assert time.monotonic() - began < 2.0
    profiles.close()


def test_a_profile_lies_where_its_interactions_lie_whatever_their_key(shop: ShopSystem) -> None:
    profiles, read = shop.read("profiles"), shop.read("interactions")
    for key in ("a", "b", "c", "d"):
        shop.buy("roaming", f"item-{key}", key=key)
    shop.producer.flush(5)
    wait_until(lambda: sum(b"roaming" in (m.value() or b"") for m in read.more()) == 4)
    expected = {
        partition: {json.loads(m.value())["item_id"] for m in read.seen if m.partition() == partition}
        for partition in {m.partition() for m in read.seen if b"roaming" in m.value()}
    }

    def merged() -> bool:
        mine = {m.partition(): CODEC.decode(m.value(), Profile)[0] for m in profiles.more() if m.key() == b"roaming"}
        by_partition = {partition: {seen.item_id for seen in profile.items} for partition, profile in mine.items()}
        return (
            bool(by_partition)
            and all(by_partition.get(partition, set()) <= items for partition, items in expected.items())
            and (set().union(*by_partition.values()) == {f"item-{key}" for key in "abcd"})
        )

    wait_until(merged, what="profiles by partition")
    profiles.close()
    read.close()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"\xff\xfe not json", b"neither JSON"),
        (b"\xc3\x01garbage!", b"fingerprint"),
        (b"\x00\x00\x00\x00\x07x", b"registry"),
        (b'{"user_id": "", "item_id": "a"}', b"user_id is empty"),
        (b'{"item_id": "a"}', b"user_id"),
    ],
)
def test_a_bad_interaction_is_set_aside_and_later_ones_go_on(shop: ShopSystem, bad: bytes, reason: bytes) -> None:
    letters, profiles = shop.read("interactions.dlq", 1), shop.read("profiles")
    marked = bad + b" " if bad.startswith(b"{") else bad
    shop.producer.produce(shop.prefix + "interactions", value=marked, key="k", headers=[("traceparent", b"00-1")])
    user = f"after-{reason.hex()}"
    shop.buy(user, "fine", key="k")
    assert wait_until(lambda: profiles.items_of(user), what="the next profile") == ["fine"]
    letter = wait_until(lambda: [m for m in letters.more() if m.value() == marked], what="dead letter")[0]
    headers = dict(letter.headers())
    assert headers["traceparent"] == b"00-1"
    assert reason in headers["error-reason"]
    assert headers["error-topic"] == f"{shop.prefix}interactions".encode()
    assert {"error-partition", "error-offset", "error-timestamp"} <= set(headers)
    assert letter.key() == b"k"
    letters.close()
    profiles.close()


def test_nothing_at_all_is_a_dead_letter_too(shop: ShopSystem) -> None:
    letters = shop.read("interactions.dlq", 1)
    shop.producer.produce(shop.prefix + "interactions", value=None, key="nothing")
    wait_until(lambda: any(m.key() == b"nothing" for m in letters.more()), what="dead letter")
    letters.close()


def test_an_interaction_in_avro_counts_as_one_in_json(shop: ShopSystem) -> None:
    profiles = shop.read("profiles")
    shop.buy("avro", "one", Encoding.JSON)
    shop.buy("avro", "two", Encoding.AVRO)
    assert wait_until(lambda: len(items := profiles.items_of("avro")) == 2 and items) == ["one", "two"]
    profiles.close()


def test_windows_count_committed_answers_only(shop: ShopSystem) -> None:
    answers = Producer(clients.transactional(shop.settings, "test", f"{shop.prefix}answers"))
    answers.init_transactions(20)
    for end, latency, many in ((answers.abort_transaction, 900.0, 7), (answers.commit_transaction, 5.0, 4)):
        answers.begin_transaction()
        for number in range(many):
            result = Result(request_id=f"r{number}", status="ok", latency_ms=latency)
            answers.produce(shop.prefix + "search.results", value=CODEC.encode(result, Encoding.JSON))
        answers.flush(10)
        end(10)
    traffic, topic = shop.read("traffic"), f"{shop.prefix}search.results"

    def windows() -> dict[int, TrafficWindow]:
        published = [CODEC.decode(m.value(), TrafficWindow)[0] for m in traffic.more() if m.key() == topic.encode()]
        assert len({window.start for window in published}) == len(published), "a window was published twice"
        return {window.start: window for window in published if window.records}

    wait_until(lambda: sum(window.records for window in windows().values()) >= 4, what="windows of search.results")
    final = windows().values()
    assert sum(window.records for window in final) == 4
    assert {window.latency_p99_ms for window in final} == {5.0}
    assert sum(window.by_status["ok"] for window in final) == 4
    traffic.close()


def test_killed_in_mid_stream_it_goes_on_from_the_topics_alone(own_shop: ShopSystem) -> None:
    profiles = own_shop.read("profiles")
    began = time.time_ns() // 1_000_000
    own_shop.buy("u0", "before", at=began - 1)
    wait_until(lambda: profiles.items_of("u0"), what="first profile")
    for number in range(500):
        own_shop.buy(f"u{number % 20}", str(number), at=began + number)
        if number == 250:
            own_shop.producer.flush(10)
            own_shop.kill()
            own_shop.start()
    own_shop.producer.flush(10)
    own_shop.kill()
    own_shop.start()
    expected = {f"u{user}": [str(number) for number in range(user, 500, 20)] for user in range(20)}
    expected["u0"].insert(0, "before")
    wait_until(lambda: all(profiles.items_of(user) == items for user, items in expected.items()), 90)
    own_shop.buy("u3", "after", at=began + 1000)
    wait_until(lambda: profiles.items_of("u3")[-1:] == ["after"], what="a profile after the restart")
    assert len(profiles.items_of("u3")) == 26, "the profile from before the restart is still in it"
    assert own_shop.process is not None
    own_shop.process.terminate()
    assert own_shop.process.wait(10) == 0
    profiles.close()


def test_what_users_do_with_answers_becomes_labels_also_after_a_kill(own_shop: ShopSystem) -> None:
    def answer(service: str, request_id: str, key: str, *items: str) -> None:
        shown = [Item(item_id=item, score=1.0, title=item) for item in items]
        result = Result(request_id=request_id, status="ok", items=shown, model=f"{service}@1")
        own_shop.send(CODEC.encode(result, Encoding.JSON), f"{service}.results", key)
        own_shop.producer.flush(5)

    def click(user: str, item: str, request_id: str | None = None) -> None:
        clicked = Interaction(user_id=user, item_id=item, event="click", request_id=request_id)
        own_shop.send(CODEC.encode(clicked, Encoding.JSON), key=user)

    def told() -> list[tuple[str, str, str, int]]:
        found = [CODEC.decode(message.value(), Label)[0] for message in labels.more()]
        return sorted({(label.service, label.request_id, label.item_id, label.position) for label in found})

    labels = own_shop.read("labels")
    answer("recommend", "r1", "u1", "a", "b")
    answer("search", "s1", "s1", "c", "a")
    click("u1", "b")
    click("u1", "a", "s1")
    click("u1", "z")
    wait_until(lambda: len(told()) == 2, what="two labels")
    own_shop.kill()
    click("u1", "b")
    click("u1", "a")
    answer("recommend", "r2", "u2", "b")
    own_shop.start()
    click("u2", "b")
    of_recommend = [("recommend", "r1", "a", 1), ("recommend", "r1", "b", 2), ("recommend", "r2", "b", 1)]
    wanted = [*of_recommend, ("search", "s1", "a", 2)]
    wait_until(lambda: told() == wanted, what="labels of answers of before and after the kill")
    assert len({message.key() for message in labels.seen}) == 4
    labels.close()


def test_it_waits_for_a_kafka_that_is_not_there_and_can_be_stopped(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "streams"],
        env={**os.environ, "STANDFAST_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if b"waiting for kafka" in line)
        assert b"127.0.0.1:1" in line
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()
