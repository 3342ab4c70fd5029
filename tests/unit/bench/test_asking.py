"""What a benchmark asks: never the same twice, always the same for everybody."""

from __future__ import annotations

import pytest

from bench.requests import LONG_SHARE, LONG_TIMES, RequestMaker
from schemas.records import RecommendRequest, SearchRequest

pytestmark = pytest.mark.usefixtures("empty_home")


def told(request: object) -> str:
    if isinstance(request, SearchRequest):
        return request.query
    assert isinstance(request, RecommendRequest)
    return f"{request.user_id} {request.history}"


@pytest.mark.parametrize("service", ["search", "recommend"])
def test_no_two_requests_are_alike_and_none_was_in_the_warm_up(service: str) -> None:
    request_maker = RequestMaker(service)
    asked = [told(request) for request in (*request_maker.make(300).requests, *request_maker.make(3000).requests)]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("service", ["search", "recommend"])
def test_everybody_is_asked_the_same(service: str) -> None:
    assert RequestMaker(service).make(200) == RequestMaker(service).make(200)


def test_a_tenth_of_a_mixed_load_is_nine_times_longer() -> None:
    asked = RequestMaker("search").make(1000, LONG_SHARE)
    words = [len(told(request).split()) for request in asked.requests]
    long = [count for place, count in enumerate(words) if place in asked.long]
    short = [count for place, count in enumerate(words) if place not in asked.long]
    assert len(long) == 100
    assert min(long) > max(short)
    assert LONG_TIMES * 0.9 < (sum(long) / len(long)) / (sum(short) / len(short)) < LONG_TIMES * 1.1


def test_sorted_requests_are_the_same_ones_shortest_first_with_the_long_ones_still_known() -> None:
    asked = RequestMaker("search").make(100, LONG_SHARE)
    in_order = asked.sorted()
    lengths = [len(told(request)) for request in in_order.requests]
    assert lengths == sorted(lengths)
    assert sorted(map(told, in_order.requests)) == sorted(map(told, asked.requests))
    assert {told(in_order.requests[place]) for place in in_order.long} == {
        told(asked.requests[place]) for place in asked.long
    }
