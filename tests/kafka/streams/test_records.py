"""Records, topics and partitions as other programs make them: the stream processor goes on reading."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from schemas.codec import Encoding
from schemas.records import Interaction, Profile, RecommendRequest, Result, SearchRequest, TrafficWindow
from standfast.core import clients
from streams.codecs import LARGEST
from tests.support.raw_records import CODECS, RawRecord, batch, send
from tests.support.shop import CODEC, PARTITIONS, ShopSystem
from tests.waiting import wait_until

_ODD = [(b"caf\xe9", b"x")]
# Long, so that compression makes it smaller: otherwise the client sends the batch uncompressed.
_LONG = "a" * 2000


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopSystem]:
    """A system whose one stream processor serves all tests of this module."""
    shop = ShopSystem(broker, f"r{time.time_ns()}.", tmp_path_factory.mktemp("shop"))
    shop.start()
    try:
        yield shop
        assert shop.process is not None
        assert shop.process.poll() is None, "no record, topic or partition of these tests may end it"
    finally:
        shop.kill()


@pytest.fixture
def admin(shop: ShopSystem) -> AdminClient:
    return AdminClient(clients.base(shop.settings, "test"))


def json(record: Interaction | SearchRequest | RecommendRequest | Result) -> bytes:
    return CODEC.encode(record, Encoding.JSON)


def purchase(user: str, item: str = _LONG) -> bytes:
    return json(Interaction(user_id=user, item_id=item, event="purchase"))


def profiled(shop: ShopSystem, *users: str) -> None:
    """Waits until each user has a profile with one item."""
    profiles = shop.read("profiles")
    wait_until(lambda: all(len(profiles.items_of(user)) == 1 for user in users), 90, what=f"profiles of {users}")
    profiles.close()


def counted(shop: ShopSystem, of: Counter[str]) -> None:
    """Waits until the windows have counted at least this many records of each topic."""
    traffic = shop.read("traffic")

    def records() -> Counter[str]:
        counts: Counter[str] = Counter()
        for message in traffic.more():
            window, _ = CODEC.decode(message.value(), TrafficWindow)
            counts[window.topic.removeprefix(shop.prefix)] += window.records
        return counts

    wait_until(lambda: all(records()[topic] >= many for topic, many in of.items()), 90, what=f"windows with {of}")
    traffic.close()


def stored_as(admin: AdminClient, topic: str, compression: str) -> None:
    """Sets `compression.type` of a topic. In our table request topics have `uncompressed`: the broker unpacks them."""
    entry = ConfigEntry("compression.type", compression, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def test_every_codec_is_read_on_every_topic(shop: ShopSystem, admin: AdminClient) -> None:
    """Also on topics that another program has created, with `compression.type` = `producer`."""
    for topic in ("interactions", "search.requests", "recommend.requests"):
        stored_as(admin, shop.prefix + topic, "producer")
    answer = Result(request_id="r", status="ok", model=_LONG)
    for codec in CODECS:
        made = Producer(clients.producer(shop.settings, "test", **{"compression.type": codec}))
        made.produce(f"{shop.prefix}interactions", purchase(codec), key=codec)
        for service in ("search", "recommend"):
            made.produce(f"{shop.prefix}{service}.requests", json(SearchRequest(query=_LONG)))
            made.produce(f"{shop.prefix}{service}.results", json(answer))
        assert made.flush(30) == 0
    profiled(shop, *CODECS)
    topics = ("search.requests", "search.results", "recommend.requests", "recommend.results")
    counted(shop, Counter(dict.fromkeys(topics, len(CODECS))))


def test_a_topic_that_compresses_is_read(shop: ShopSystem, admin: AdminClient) -> None:
    """The broker compresses with Java's libraries, whose snappy framing differs from librdkafka's."""
    for codec in ("snappy", "lz4", "zstd", "gzip", "producer"):
        stored_as(admin, f"{shop.prefix}interactions", codec)
        shop.send(purchase(f"topic-{codec}"), key=codec)
        assert shop.producer.flush(30) == 0
    profiled(shop, *(f"topic-{codec}" for codec in ("snappy", "lz4", "zstd", "gzip", "producer")))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_header_name_that_is_no_text_stops_nobody(shop: ShopSystem, admin: AdminClient, codec: str) -> None:
    for topic in ("search.requests", "search.results", "recommend.requests", "recommend.results"):
        send(admin, shop.prefix + topic, 0, batch([RawRecord(b"{}", headers=_ODD)], codec))
    odd, good = f"odd-{codec}", f"good-{codec}"
    records = [RawRecord(purchase(odd), odd.encode(), _ODD), RawRecord(purchase(good), good.encode())]
    send(admin, f"{shop.prefix}interactions", 1, batch(records, codec))
    profiled(shop, odd, good)


def test_a_batch_that_unpacks_to_too_much_is_set_aside(shop: ShopSystem, admin: AdminClient) -> None:
    stored_as(admin, f"{shop.prefix}interactions", "producer")
    letters = shop.read("interactions.dlq", 1)
    bomb = batch([RawRecord(b" " * (LARGEST + 1))], "zstd")
    offset = send(admin, f"{shop.prefix}interactions", 0, bomb)
    send(admin, f"{shop.prefix}interactions", 0, batch([RawRecord(purchase("behind"), b"behind")]))
    profiled(shop, "behind")
    wanted = {("error-offset", str(offset).encode()), ("error-partition", b"0")}
    wait_until(lambda: any(wanted <= set(letter.headers() or ()) for letter in letters.more()), what="dead letter")
    letters.close()


def test_an_unreadable_record_with_such_a_name_is_a_dead_letter(shop: ShopSystem, admin: AdminClient) -> None:
    letters = shop.read("interactions.dlq", 1)
    offset = send(admin, f"{shop.prefix}interactions", 0, batch([RawRecord(b"no purchase", headers=_ODD)]))
    wanted = {("caf\\xe9", b"x"), ("error-offset", str(offset).encode()), ("error-partition", b"0")}
    wait_until(lambda: any(wanted <= set(letter.headers() or ()) for letter in letters.more()), what="dead letter")
    letters.close()


@pytest.mark.parametrize("at", [-1, 0, 1])
def test_a_record_without_a_time_is_folded_as_of_now(shop: ShopSystem, admin: AdminClient, at: int) -> None:
    user, began = f"timeless{at}", time.time_ns() // 1_000_000
    profiles = shop.read("profiles")
    send(admin, f"{shop.prefix}interactions", 2, batch([RawRecord(purchase(user), user.encode())], at=at))
    wait_until(lambda: len(profiles.items_of(user)) == 1, 90, what="profile")
    profile = next(
        CODEC.decode(message.value(), Profile)[0] for message in profiles.seen if message.key() == user.encode()
    )
    assert min(profile.items[0].timestamp, profile.updated_at) >= began
    profiles.close()


def test_a_profile_that_somebody_deletes_stays_deleted(shop: ShopSystem) -> None:
    profiles = shop.read("profiles")
    shop.send(purchase("erased", "before"), key="erased")
    wait_until(lambda: profiles.items_of("erased") == ["before"], what="first profile")
    partition = next(message.partition() for message in profiles.seen if message.key() == b"erased")
    shop.producer.produce(f"{shop.prefix}profiles", key="erased", value=None, partition=partition)
    assert shop.producer.flush(30) == 0
    deletions = [None, None]  # the test's, and the one that the stream processor writes when it reads it
    wait_until(lambda: [message.value() for message in profiles.more() if message.key() == b"erased"][1:] == deletions)
    shop.send(purchase("erased", "after"), key="erased")
    wait_until(lambda: profiles.items_of("erased") == ["after"], what="profile begun anew")
    profiles.close()


def test_a_deletion_with_a_header_name_that_is_no_text_is_followed(shop: ShopSystem, admin: AdminClient) -> None:
    """confluent-kafka raises SystemError for such a header, which ended the stream processor."""
    profiles = shop.read("profiles")
    shop.send(purchase("odd-erased", "before"), key="odd-erased")
    wait_until(lambda: profiles.items_of("odd-erased") == ["before"], 90, what="first profile")
    partition = next(message.partition() for message in profiles.seen if message.key() == b"odd-erased")
    send(admin, f"{shop.prefix}profiles", partition or 0, batch([RawRecord(None, b"odd-erased", _ODD)]))
    wait_until(lambda: profiles.items_of("odd-erased") == [] and len(profiles.seen) > 1, what="the deletion")
    deletions = [None, None]  # the test's, and the one that the stream processor writes when it reads it
    wait_until(
        lambda: [message.value() for message in profiles.more() if message.key() == b"odd-erased"][1:] == deletions,
        90,
        what="the stream processor's own deletion",
    )
    profiles.close()


def test_partitions_added_to_interactions_alone_are_read_within_ten_seconds(
    shop: ShopSystem, admin: AdminClient
) -> None:
    topic = f"{shop.prefix}interactions"
    admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)])[topic].result(30)
    began = time.monotonic()
    send(admin, topic, PARTITIONS, batch([RawRecord(purchase("grown"), b"grown")]))
    send(admin, topic, 0, batch([RawRecord(purchase("not-grown"), b"not-grown")]))
    profiled(shop, "grown", "not-grown")
    assert time.monotonic() - began < 20, "5 s until they are noticed, and more on a slow machine"
    shop.kill()
    shop.start()
    send(admin, topic, PARTITIONS, batch([RawRecord(purchase("restarted"), b"restarted")]))
    profiled(shop, "restarted")


def _made_again(admin: AdminClient, topic: str) -> None:
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, what="deleted topic")
    wait_until(lambda: _created(admin, topic), what="topic made again", every=0.3)


def _created(admin: AdminClient, topic: str) -> bool:
    error = admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].exception(30)
    return error is None


@pytest.mark.parametrize("while_down", [False, True])
def test_a_topic_made_again_is_read_from_its_beginning(shop: ShopSystem, admin: AdminClient, while_down: bool) -> None:
    topic, word = f"{shop.prefix}interactions", f"again-{while_down}"
    for number in range(20):
        user = f"{word}-before-{number}".encode()
        send(admin, topic, 0, batch([RawRecord(purchase(user.decode()), user)]))
    profiled(shop, *(f"{word}-before-{number}" for number in range(20)))
    if while_down:
        shop.kill()
    _made_again(admin, topic)
    users = [f"{word}-{number}" for number in range(30)]
    for user in users:  # more than the 20 of the old topic: its offset exists in the new topic
        send(admin, topic, 0, batch([RawRecord(purchase(user), user.encode())]))
    if while_down:
        shop.start()
    profiled(shop, *users)
