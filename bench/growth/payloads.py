"""Requests of a given size: large by the history they are computed from, or by headers that are only copied."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from bench.requests import K, Request, RequestMaker
from models.data.shop import load_catalogue
from schemas.records import RecommendRequest

_ITEMS = 500  # histories draw from so many products: drawn from all, a long one would leave nothing to recommend
_MOST_BYTES = 50_000_000  # of all requests of one row


@dataclass(slots=True)
class Payload:
    """Recommendation requests of one size; `history`: products in each; `most`: the most requests to measure."""

    name: str
    k: int = K
    history: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
    most: int = 1_000_000
    _request_maker: RequestMaker = field(default_factory=lambda: RequestMaker("recommend", seed=5))
    _random: random.Random = field(default_factory=lambda: random.Random(5))

    def make(self, count: int) -> Sequence[Request]:
        """`count` new requests."""
        items = load_catalogue().item_ids[:_ITEMS]
        return [self._sized(request, items) for request in self._request_maker.make(count).requests]

    def _sized(self, request: Request, items: Sequence[str]) -> Request:
        assert isinstance(request, RecommendRequest)
        more = self._random.choices(items, k=self.history - len(request.history)) if self.history else []
        return msgspec.structs.replace(request, k=self.k, history=[*request.history, *more])


def payloads(size: int) -> Iterator[Payload]:
    """The payloads of `size` bytes: one by its history, one by a header."""
    plain = Payload("")
    empty_bytes = _bytes(plain)
    bytes_per_item = (_bytes(Payload("", history=1002)) - empty_bytes) / 1000
    history, most = max(2, round((size - empty_bytes) / bytes_per_item) + 2), max(20, _MOST_BYTES // size)
    yield Payload(f"{size:,} in {history:,} products of a history", history=history, most=most)
    yield Payload(f"{size:,} in a header", headers=[("filler", bytes(max(0, size - empty_bytes)))], most=most)


def _bytes(payload: Payload) -> int:
    return len(msgspec.json.encode(msgspec.structs.replace(payload.make(1)[0], request_id="0" * 12)))
