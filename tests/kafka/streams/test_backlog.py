"""A stream processor with a large lag counts every record and holds few of them in memory at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from schemas.codec import Encoding
from schemas.records import RecommendRequest, Result, TrafficWindow
from streams.transport import AHEAD_BYTES, AT_ONCE
from tests.support.counting_stream import MostHeld
from tests.support.shop import CODEC, Reading, ShopSystem
from tests.waiting import wait_until

_RECORDS = 10_000


def fill(shop: ShopSystem) -> None:
    """Writes `_RECORDS` requests and as many answers, of about 300 bytes each."""
    for number in range(_RECORDS):
        name = f"request-{number}"
        request = RecommendRequest(user_id=f"user-{number}", request_id=name, context={"page": "x" * 150})
        answer = Result(request_id=name, status="ok", model="recommend@1", worker="x" * 150, latency_ms=5.0)
        shop.send(CODEC.encode(request, Encoding.JSON), "recommend.requests", name)
        shop.send(CODEC.encode(answer, Encoding.JSON), "recommend.results", name)
    assert shop.producer.flush(60) == 0


def counted(traffic: Reading) -> Counter[str]:
    """The records of each topic, summed over all windows so far."""
    counts: Counter[str] = Counter()
    for message in traffic.more():
        window, _ = CODEC.decode(message.value(), TrafficWindow)
        counts[window.topic.partition(".")[2]] += window.records
    return counts


def test_a_backlog_is_counted_whole_and_held_in_small_parts(broker: str, unique: str, tmp_path: Path) -> None:
    shop = ShopSystem(broker, f"{unique}.", tmp_path, "tests.support.counting_stream")
    fill(shop)
    traffic = shop.read("traffic")
    shop.start()
    try:
        wait_until(lambda: counted(traffic).total() >= 2 * _RECORDS, 60, what="windows of all records")
        assert counted(traffic) == Counter({"recommend.requests": _RECORDS, "recommend.results": _RECORDS})
        held = msgspec.json.decode((tmp_path / "held").read_bytes(), type=MostHeld)
    finally:
        shop.kill()
        traffic.close()
    assert held.bytes <= AHEAD_BYTES
    assert held.records <= 2 * AT_ONCE, "one part that is processed, and one that waits"
