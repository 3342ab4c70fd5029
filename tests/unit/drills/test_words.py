"""The queries of the drill's load: no two are the same, or a cache would answer instead of the model."""

from __future__ import annotations

from itertools import islice

from drills.evidence.shop_words import QUERIES, varied


def test_no_query_is_repeated_within_ten_thousand() -> None:
    queries = list(islice(varied(QUERIES), 10_000))
    assert len(set(queries)) > 0.99 * len(queries)


def test_every_query_begins_with_one_of_those_given_and_goes_on_with_their_words() -> None:
    queries = list(islice(varied(("red bag", "cake")), 20))
    assert [query.startswith("red bag") for query in queries[::2]] == [True] * 10
    assert {word for query in queries for word in query.split()} <= {"red", "bag", "cake"}
