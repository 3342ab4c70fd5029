"""Filters, facets and `explain` of a request: what the model is asked, or what is wrong with them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.requests.admission import Admission, Admitted, Refused
from consumers.requests.refinements import Wrong, refined
from consumers.service import service
from models.base import Filter, Query, Refined
from schemas.codec import Codec
from schemas.records import Filters, Range
from standfast.core.settings import Settings
from tests.support.origins import origin

_SETTINGS = Settings()


def test_a_plain_request_asks_for_nothing_more() -> None:
    assert refined({}, [], explain=False) is None


def test_each_form_of_a_filter_says_what_it_means() -> None:
    filters: Filters = {
        "price": Range(5, None),
        "colour": "red",
        "category": ["b", "a", "a", 7, 2.5, True],
        "year": 2024,
    }
    assert refined(filters, ["price", "price"], explain=True) == Refined(
        (
            Filter("category", values=("2.5", "7", "a", "b", "true")),
            Filter("colour", values=("red",)),
            Filter("price", 5.0, math.inf),
            Filter("year", values=("2024",)),
        ),
        ("price",),
        explain=True,
    )


def test_the_order_of_filters_and_values_makes_no_other_query() -> None:
    one = refined({"a": ["x", "y"], "b": "z"}, [], explain=False)
    assert one == refined({"b": ["z"], "a": ["y", "x"]}, [], explain=False)


@pytest.mark.parametrize(
    ("filters", "facets", "parts"),
    [
        ({"price": Range(20, 5)}, [], ["'price'", "20", "5", "exchange"]),
        ({"price": Range(math.nan, 5)}, [], ["'price'", "min", "nan", "finite"]),
        ({"price": Range(None, math.inf)}, [], ["'price'", "max", "inf", "finite"]),
        ({"price": Range()}, [], ["'price'", "neither min nor max"]),
        ({"price": [1.0, math.nan]}, [], ["'price'", "NaN", "finite"]),
        ({"price": math.inf}, [], ["'price'", "infinite"]),
        ({"colour": []}, [], ["'colour'", "no value"]),
        ({"colour": [str(number) for number in range(1001)]}, [], ["'colour'", "1,001", "1,000"]),
        ({str(number): "x" for number in range(21)}, [], ["21 filters", "20"]),
        ({}, ["x"] * 21, ["21 facets", "20"]),
    ],
)
def test_what_cannot_be_meant_is_named_with_the_remedy(filters: Filters, facets: list[str], parts: list[str]) -> None:
    with pytest.raises(Wrong) as wrong:
        refined(filters, facets, explain=False)
    assert [part for part in parts if part not in str(wrong.value)] == [], wrong.value


_value = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=5))


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.one_of(
            _value, st.lists(_value, max_size=3), st.builds(Range, st.floats() | st.none(), st.floats() | st.none())
        ),
        max_size=3,
    )
)
def test_any_filters_are_understood_or_refused(filters: Filters) -> None:
    try:
        found = refined(filters, [], explain=False)
    except Wrong:
        return
    else:
        assert {each.attribute for each in (found.filters if found else ())} == filters.keys()


@pytest.mark.parametrize(
    ("name", "request_fields"),
    [("search", {"query": "bag"}), ("recommend", {"user_id": "u"})],
)
def test_a_request_is_answered_invalid_by_its_form_and_by_what_the_model_says(
    name: str, request_fields: dict[str, object]
) -> None:
    def refusal(query: Query) -> str:
        return (
            "there is no attribute 'colur'" if query.refined and query.refined.filters[0].attribute == "colur" else ""
        )

    admission = Admission(service(name, _SETTINGS), _SETTINGS, Codec(), None, refusal)

    def decided(**more: object) -> Admitted | Refused:
        decision = admission.decide(origin(json.dumps({**request_fields, **more}).encode()))
        assert isinstance(decision, Admitted | Refused)
        return decision

    good = decided(filters={"price": {"min": 1}})
    assert isinstance(good, Admitted)
    assert good.query.refined == Refined((Filter("price", 1.0),))
    for filters, part in (
        ({"colur": "red"}, "'colur'"),
        ({"price": {"min": 2, "max": 1}}, "'price'"),
        ({"price": {"min": "1"}}, "min"),
        ({"price": {"mni": 1}}, "mni"),
    ):
        wrong = decided(filters=filters)
        assert isinstance(wrong, Refused)
        assert wrong.status == "invalid"
        assert part in wrong.reason
