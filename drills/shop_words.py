"""What the drill's own load asks for: words and customers of the sample shop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

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
_MORE = 4


def varied(queries: Sequence[str], seed: int = 0) -> Iterator[str]:
    """The queries in turn, for ever, each with some words of the others: a repeated one would come from a cache."""
    chance = random.Random(seed)
    words = sorted({word for query in queries for word in query.split()})
    while True:
        for query in queries:
            yield " ".join([query, *chance.choices(words, k=_MORE)])
