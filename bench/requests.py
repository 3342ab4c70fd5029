"""The requests of benchmarks: no two are alike, so no cache can help, and they are the same for every contender."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from drills.evidence.shop_words import QUERIES, USERS
from models.data.shop import load_catalogue, load_interactions
from schemas.records import RecommendRequest, SearchRequest

Request = SearchRequest | RecommendRequest
K = 10
LONG_SHARE = 0.1  # of the searches of a mixed load
LONG_TIMES = 9  # so many times the length of the others


@dataclass(frozen=True, slots=True)
class RequestSet:
    """Requests in the order they are sent; `long` are the indices of those that are nine times longer."""

    requests: Sequence[Request]
    long: frozenset[int] = frozenset()

    def sorted(self) -> RequestSet:
        """The same requests, shortest first, so that a batch has nearly equal lengths."""
        order = sorted(range(len(self.requests)), key=lambda index: _length(self.requests[index]))
        new = {index: position for position, index in enumerate(order)}
        return RequestSet([self.requests[index] for index in order], frozenset(new[index] for index in self.long))


class RequestMaker:
    """Makes requests of one service from the shop in use; it never makes the same request twice."""

    def __init__(self, service: str, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._made: set[str] = set()
        self._make_one = self._search_maker() if service == "search" else self._recommendation_maker()

    def make(self, count: int, long_share: float = 0.0) -> RequestSet:
        """`count` requests; `long_share` of them, if they are searches, are nine times longer, at random indices."""
        long = frozenset(self._random.sample(range(count), round(count * long_share)))
        return RequestSet([self._unused(index in long) for index in range(count)], long)

    def _unused(self, long: bool) -> Request:
        while True:
            request, text = self._make_one(long)
            if text not in self._made:
                self._made.add(text)
                return request

    def _search_maker(self) -> Callable[[bool], tuple[Request, str]]:
        words = [word for title in load_catalogue().titles for word in title.lower().split()]
        phrases = _endless(QUERIES)

        def phrase() -> str:
            return f"{next(phrases)} {' '.join(self._random.choices(words, k=self._random.randint(3, 5)))}"

        def search(long: bool) -> tuple[Request, str]:
            query = " ".join(phrase() for _ in range(LONG_TIMES if long else 1))
            return SearchRequest(query=query, k=K), query

        return search

    def _recommendation_maker(self) -> Callable[[bool], tuple[Request, str]]:
        items = load_catalogue().item_ids
        events = load_interactions()
        users = events.users if events else list(USERS)

        def recommend(long: bool) -> tuple[Request, str]:  # noqa: ARG001 - these requests have no text
            user, history = self._random.choice(users), self._random.choices(items, k=2)
            return RecommendRequest(user_id=user, history=history, k=K), f"{user} {history}"

        return recommend


def _length(request: Request) -> int:
    return len(request.query) if isinstance(request, SearchRequest) else len(request.history)


def _endless(words: Sequence[str]) -> Iterator[str]:
    while True:
        yield from words
