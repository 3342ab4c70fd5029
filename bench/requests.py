"""What is asked: requests of which no two are alike, so that no cache can help, and the same for everybody."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from drills.evidence.shop_words import QUERIES, USERS
from models.data.shop import load_catalogue, load_interactions
from schemas.records import RecommendRequest, SearchRequest

Request = SearchRequest | RecommendRequest
K = 10
LONG_SHARE = 0.1
LONG_TIMES = 9


@dataclass(frozen=True, slots=True)
class RequestSet:
    """Requests in the order they are sent; `long` holds the places of those that are nine times longer."""

    requests: Sequence[Request]
    long: frozenset[int] = frozenset()

    def sorted(self) -> RequestSet:
        """The same requests, shortest first: what a batch of equal lengths could make of them."""
        order = sorted(range(len(self.requests)), key=lambda place: _length(self.requests[place]))
        places = {place: after for after, place in enumerate(order)}
        return RequestSet([self.requests[place] for place in order], frozenset(places[place] for place in self.long))


class RequestMaker:
    """Makes requests of one service from the shop in use; what it gave once it never gives again."""

    def __init__(self, service: str, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._given: set[str] = set()
        self._make = self._searching() if service == "search" else self._recommending()

    def ask(self, count: int, long_share: float = 0.0) -> RequestSet:
        """So many requests, that share of them (of searches) nine times longer, at places chosen by chance."""
        long = frozenset(self._random.sample(range(count), round(count * long_share)))
        return RequestSet([self._fresh(place in long) for place in range(count)], long)

    def _fresh(self, long: bool) -> Request:
        while True:
            request, told = self._make(long)
            if told not in self._given:
                self._given.add(told)
                return request

    def _searching(self) -> Callable[[bool], tuple[Request, str]]:
        words = [word for title in load_catalogue().titles for word in title.lower().split()]
        phrases = _for_ever(QUERIES)

        def one() -> str:
            return f"{next(phrases)} {' '.join(self._random.choices(words, k=self._random.randint(3, 5)))}"

        def search(long: bool) -> tuple[Request, str]:
            query = " ".join(one() for _ in range(LONG_TIMES if long else 1))
            return SearchRequest(query=query, k=K), query

        return search

    def _recommending(self) -> Callable[[bool], tuple[Request, str]]:
        items = load_catalogue().item_ids
        events = load_interactions()
        users = events.users if events else list(USERS)

        def recommend(long: bool) -> tuple[Request, str]:  # noqa: ARG001 - its requests have no text to be long
            user, history = self._random.choice(users), self._random.choices(items, k=2)
            return RecommendRequest(user_id=user, history=history, k=K), f"{user} {history}"

        return recommend


def _length(request: Request) -> int:
    return len(request.query) if isinstance(request, SearchRequest) else len(request.history)


def _for_ever(words: Sequence[str]) -> Iterator[str]:
    while True:
        yield from words
