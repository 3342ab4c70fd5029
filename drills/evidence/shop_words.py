"""The queries and user ids of a drill's load: those of the sample shop, unless others are given."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from schemas.records import RecommendRequest, SearchRequest, ServiceRequest

MakeRequest = Callable[[str, int], ServiceRequest]
"""From a request's id and its `k` to the request."""

QUERIES = (
    "white hanging heart",
    "lunch bag",
    "christmas decoration",
    "red retrospot",
    "cake stand",
    "alarm clock",
    "jumbo bag",
    "paper chain kit",
    "vintage tea set",
    "wooden picture frame",
    "hot water bottle",
    "garden lantern",
)
USERS = ("17841", "14911", "14096", "12748", "14606", "15311", "14646", "13089", "13263", "14298", "15039", "14156")
_MORE = 4  # words added to each query, so that it differs from the last time


def varied(queries: Sequence[str], seed: int = 0) -> Iterator[str]:
    """The queries in turn, endlessly, each with four words of the others: a repeated query would come from a cache."""
    chance = random.Random(seed)
    words = sorted({word for query in queries for word in query.split()})
    while True:
        for query in queries:
            yield " ".join([query, *chance.choices(words, k=_MORE)])


def searches(words: Sequence[str]) -> MakeRequest:
    """Makes search requests for these queries; empty: the sample shop's."""
    queries = varied(words or QUERIES)
    return lambda request_id, k: SearchRequest(request_id=request_id, query=next(queries), k=k)


def recommendations(users: Sequence[str]) -> MakeRequest:
    """Makes recommendation requests for these users, each with a product in its history that does not exist.

    That product changes no answer, but makes each request unknown to a cache.
    """
    endless_users = itertools.cycle(users or USERS)
    return lambda request_id, k: RecommendRequest(
        request_id=request_id, user_id=next(endless_users), k=k, history=[request_id]
    )
