"""A cache of answers: a query that was computed before is not computed again, nor twice within one batch.

Entries never outlive their model: each model of a worker process has a cache of its own, which is cleared when a
product changes, and the workers of a new version begin with an empty one. A recommendation's query holds the user's
whole history, so after a purchase it is another query.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from consumers.serving.breaker import Ask, Outcome
from models.base import Faceted, Query, SearchQuery
from schemas.records import Facet, Item
from standfast.core import telemetry

# Bounds the memory: `cache` entries of this size. An answer of ten products takes about 700 bytes; of answers with a
# hundred products fewer fit.
BYTES_EACH = 2048
# Bytes that Python needs for an entry beside its contents: two bytes objects and a slot in the dictionary.
_OVERHEAD = 220

Result = Literal["hit", "miss", "shared"]


class _Faceted(Struct, frozen=True, gc=False):
    """An answer with facets as it is kept."""

    items: list[Item]
    facets: dict[str, Facet]


class Cache:
    """An LRU cache in front of `ask`.

    Answers are kept packed: one object each that the garbage collector does not visit, where ten products would be
    forty. Packing is exact, so an answer is the same to the last bit of its scores.

    Args:
        entries: the most answers kept; they take at most `BYTES_EACH` times as many bytes.
        ignores_user: whether the model gives all users the same answer to a search.
    """

    def __init__(self, ask: Ask, entries: int, topic: str, *, ignores_user: bool) -> None:
        self._ask = ask
        self._entries = entries
        self._ignores_user = ignores_user
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._encoder = Encoder()
        self._decoder = Decoder(list[Item] | _Faceted)
        results: tuple[Result, ...] = ("hit", "miss", "shared")
        self._lookups = {result: telemetry.CACHE_LOOKUPS.labels(topic, result) for result in results}

    def ask(self, queries: Sequence[Query]) -> list[Outcome]:
        """One outcome for each query, in their order; failures are not kept."""
        keys = [self._key(query) for query in queries]
        outcomes: dict[bytes, Outcome] = {}
        missing: dict[bytes, Query] = {}
        counts: Counter[Result] = Counter()
        for key, query in zip(keys, queries, strict=True):
            counts[self._look_up(key, query, outcomes, missing)] += 1
        if missing:
            for key, outcome in zip(missing, self._ask(list(missing.values())), strict=True):
                outcomes[key] = outcome
                if isinstance(outcome, list):
                    self._keep(key, outcome)
        for result, count in counts.items():
            self._lookups[result].inc(count)
        return [outcomes[key] for key in keys]

    def clear(self) -> None:
        """Forgets all answers."""
        self._kept.clear()
        self._bytes = 0

    def _look_up(self, key: bytes, query: Query, outcomes: dict[bytes, Outcome], missing: dict[bytes, Query]) -> Result:
        if key in outcomes:
            return "hit"
        if key in missing:
            return "shared"
        packed = self._kept.get(key)
        if packed is None:
            missing[key] = query
            return "miss"
        self._kept.move_to_end(key)
        answer = self._decoder.decode(packed)
        outcomes[key] = Faceted(answer.items, answer.facets) if isinstance(answer, _Faceted) else answer
        return "hit"

    def _key(self, query: Query) -> bytes:
        if self._ignores_user and isinstance(query, SearchQuery):
            plain = (query.query, query.k)
            return self._encoder.encode(plain if query.refined is None else (*plain, query.refined))
        return self._encoder.encode(query)

    def _keep(self, key: bytes, answer: list[Item]) -> None:
        counted = _Faceted(list(answer), answer.facets) if isinstance(answer, Faceted) else answer
        packed = _trimmed(self._encoder.encode(counted))
        self._kept[_trimmed(key)] = packed
        self._bytes += len(key) + len(packed) + _OVERHEAD
        while len(self._kept) > self._entries or self._bytes > self._entries * BYTES_EACH:
            oldest_key, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest_key) + len(oldest) + _OVERHEAD


def _trimmed(packed: bytes) -> bytes:
    """A copy without the spare bytes that msgspec allocates behind its output (up to half its length)."""
    return bytes(memoryview(packed))
