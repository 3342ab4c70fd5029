"""The cost of one batch in counts that are the same on every machine: calls, JSON, memory held, copies made.

Each bound is about a fifth more than the measured value, which stands in the comment after it.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import pytest

from consumers.channel.heartbeat import Heartbeat
from consumers.commit.work import Work
from consumers.requests.admission import Admission, Origin
from consumers.requests.answers import Answers
from consumers.service import service
from consumers.serving.batches import Batches
from consumers.serving.breaker import Breaker
from consumers.serving.suspects import KnownSuspects
from models.base import RecommendQuery, SearchQuery
from schemas.codec import Codec
from schemas.records import Item
from standfast.core.settings import Settings
from tests.support.origins import origin

_BATCH = 64
_SCORED = [Item(f"2072{number}", 1.73, "LUNCH BAG CARS BLUE") for number in range(10)]


class Ten:
    """Answers every query with ten products and computes nothing: only the cost of the batch itself is left."""

    label = "toy@1"

    def predict(self, queries: Sequence[SearchQuery | RecommendQuery]) -> list[list[Item]]:
        return [_SCORED] * len(queries)

    def warm_up(self) -> None:
        return


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    settings = Settings()
    search = service("search", settings)
    codec = Codec()
    heartbeat = Heartbeat(tmp_path / "slot")
    heartbeat.reset()
    answers = Answers(search, codec, "search-0", "toy@1", lambda _: 0)
    ask = Breaker(Ten(), "search", lambda _: None).ask
    made = Batches(Admission(search, settings, codec), ask, answers, heartbeat, KnownSuspects(), "toy@1")
    for _ in range(3):  # creates metric labels and decoders, which are made once
        made.work(requests())
    return made


def requests(count: int = _BATCH, more: str = "") -> list[Origin]:
    """`count` searches in eight partitions, each with a `context` of the text `more`."""
    value = {"request_id": "r-1", "query": "lunch bag", "k": 10} | ({"context": more} if more else {})
    return [origin(json.dumps(value).encode(), position=(number % 8, number), key=b"key") for number in range(count)]


def calls(function: Callable[[], object]) -> Counter[str]:
    """How often each Python and C function was called."""
    seen: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            seen[getattr(argument, "__qualname__", repr(argument))] += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen


def test_a_request_is_decoded_once_and_its_answer_encoded_once(batches: Batches) -> None:
    records = requests()
    seen = calls(lambda: batches.work(records))
    json_calls = {name: count for name, count in seen.items() if name in {"Decoder.decode", "Encoder.encode", "decode"}}
    assert json_calls == {"Decoder.decode": _BATCH, "Encoder.encode": _BATCH}, "JSON read or written more than once"


def test_the_calls_that_a_request_costs(batches: Batches) -> None:
    records = requests()
    many, few = calls(lambda: batches.work(records)), calls(lambda: batches.work(records[:1]))
    for_each = (many.total() - few.total()) / (_BATCH - 1)
    dearest = {name: round(count / _BATCH, 1) for name, count in many.most_common(12)}
    assert for_each <= 55, f"{for_each:.1f} calls for each request, the most of them {dearest}"  # 46
    beside = few.total() - for_each
    assert beside <= 120, f"{beside:.1f} calls for a batch, beside its requests: {few.most_common(12)}"  # 102


def test_the_memory_that_a_batch_holds_until_it_is_committed(batches: Batches) -> None:
    records = requests()
    held, peak = blocks(lambda: batches.work(records))
    assert held / _BATCH <= 3, f"{held / _BATCH:.1f} blocks for each request are held by its answer"  # 2.2
    assert peak / _BATCH <= 2000, f"{peak / _BATCH:.0f} bytes for each request are in use at most"  # 1,400


def test_a_batch_leaves_nothing_behind(batches: Batches) -> None:
    records = requests()

    def fifty() -> None:
        for _ in range(50):
            batches.work(records)

    left, _ = blocks(fifty)
    assert left <= 50, f"{left} blocks are left after 50 batches"  # 10


def test_a_large_request_is_not_copied(batches: Batches) -> None:
    size = 100_000
    records = requests(8, more="x" * size)
    _, peak = blocks(lambda: batches.work(records))
    assert peak / 8 <= size / 10, (
        f"a request of {size} bytes takes {peak / 8:.0f} bytes more while it is answered"
    )  # 1,680


def blocks(function: Callable[[], Work | None]) -> tuple[int, int]:
    """The memory blocks that the result holds, and the peak of bytes allocated while `function` runs."""
    gc.collect()  # empties Python's free lists too, which count as allocated
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        kept = function()
        gc.collect()
        held = sys.getallocatedblocks() - before
        del kept
        tracemalloc.start()
        function()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    return held, peak
