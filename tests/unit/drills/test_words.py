"""What the drill's load asks for: never the same thing twice, or a cache would answer in the model's place."""

from __future__ import annotations

from itertools import islice

from drills.evidence.shop_words import QUERIES, varied


def test_no_query_is_repeated_within_ten_thousand() -> None:
    asked = list(islice(varied(QUERIES), 10_000))
    assert len(set(asked)) > 0.99 * len(asked)


def test_every_query_begins_with_one_of_those_given_and_goes_on_with_their_words() -> None:
    asked = list(islice(varied(("red bag", "cake")), 20))
    assert [one.startswith("red bag") for one in asked[::2]] == [True] * 10
    assert {word for one in asked for word in one.split()} <= {"red", "bag", "cake"}
