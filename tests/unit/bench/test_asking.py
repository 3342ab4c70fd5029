"""A benchmark's requests: no two are the same, and every contender gets the same ones."""

from __future__ import annotations

import pytest

from bench.requests import LONG_SHARE, LONG_TIMES, RequestMaker
from schemas.records import RecommendRequest, SearchRequest

pytestmark = pytest.mark.usefixtures("empty_home")


def text_of(request: object) -> str:
    if isinstance(request, SearchRequest):
        return request.query
    assert isinstance(request, RecommendRequest)
    return f"{request.user_id} {request.history}"


@pytest.mark.parametrize("service", ["search", "recommend"])
def test_no_two_requests_are_alike_and_none_was_in_the_warm_up(service: str) -> None:
    request_maker = RequestMaker(service)
    asked = [text_of(request) for request in (*request_maker.make(300).requests, *request_maker.make(3000).requests)]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("service", ["search", "recommend"])
def test_everybody_is_asked_the_same(service: str) -> None:
    assert RequestMaker(service).make(200) == RequestMaker(service).make(200)


def test_a_tenth_of_a_mixed_load_is_nine_times_longer() -> None:
    asked = RequestMaker("search").make(1000, LONG_SHARE)
    words = [len(text_of(request).split()) for request in asked.requests]
    long = [count for number, count in enumerate(words) if number in asked.long]
    short = [count for number, count in enumerate(words) if number not in asked.long]
    assert len(long) == 100
    assert min(long) > max(short)
    assert LONG_TIMES * 0.9 < (sum(long) / len(long)) / (sum(short) / len(short)) < LONG_TIMES * 1.1


def test_sorted_requests_are_the_same_ones_shortest_first_with_the_long_ones_still_known() -> None:
    asked = RequestMaker("search").make(100, LONG_SHARE)
    in_order = asked.sorted()
    lengths = [len(text_of(request)) for request in in_order.requests]
    assert lengths == sorted(lengths)
    assert sorted(map(text_of, in_order.requests)) == sorted(map(text_of, asked.requests))
    assert {text_of(in_order.requests[number]) for number in in_order.long} == {
        text_of(asked.requests[number]) for number in asked.long
    }
