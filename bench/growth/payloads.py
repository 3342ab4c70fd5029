"""Requests of a given size: large by the history they are computed from, or by headers that are only passed on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from bench.requests import K, Request, RequestMaker
from models.data.shop import load_catalogue
from schemas.records import RecommendRequest

_ITEMS = 500  # as many products as a history draws from: of all of them a long one would leave nothing to recommend
_MOST_BYTES = 50_000_000


@dataclass(slots=True)
class Payload:
    """Recommendations of one size; `history`: how many products each names; `most`: as many as are worth measuring."""

    name: str
    k: int = K
    history: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
    most: int = 1_000_000
    _asker: RequestMaker = field(default_factory=lambda: RequestMaker("recommend", seed=5))
    _random: random.Random = field(default_factory=lambda: random.Random(5))

    def ask(self, count: int) -> Sequence[Request]:
        """So many new ones."""
        items = load_catalogue().item_ids[:_ITEMS]
        return [self._sized(request, items) for request in self._asker.ask(count).requests]

    def _sized(self, request: Request, items: Sequence[str]) -> Request:
        assert isinstance(request, RecommendRequest)
        more = self._random.choices(items, k=self.history - len(request.history)) if self.history else []
        return msgspec.structs.replace(request, k=self.k, history=[*request.history, *more])


def payloads(size: int) -> Iterator[Payload]:
    """A request of so many bytes by its history, and one by a header."""
    plain = Payload("")
    empty = _bytes(plain)
    each = (_bytes(Payload("", history=1002)) - empty) / 1000
    history, most = max(2, round((size - empty) / each) + 2), max(20, _MOST_BYTES // size)
    yield Payload(f"{size:,} in {history:,} products of a history", history=history, most=most)
    yield Payload(f"{size:,} in a header", headers=[("filler", bytes(max(0, size - empty)))], most=most)


def _bytes(one: Payload) -> int:
    return len(msgspec.json.encode(msgspec.structs.replace(one.ask(1)[0], request_id="0" * 12)))
