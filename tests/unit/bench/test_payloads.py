"""Requests of a given size: they have that size, and no two are the same."""

from __future__ import annotations

import msgspec
import pytest

from bench.growth.payloads import Payload, payloads
from schemas.records import RecommendRequest

pytestmark = pytest.mark.usefixtures("empty_home")


def mean_size(payload: Payload, count: int = 50) -> float:
    """The mean size in bytes, with headers: the ids of products differ in length."""
    headers = sum(len(value) for _, value in payload.headers)
    return headers + sum(len(msgspec.json.encode(request)) for request in payload.make(count)) / count


@pytest.mark.parametrize("size", [200, 2000, 20_000])
def test_a_payload_has_the_size_it_is_said_to_have(size: int) -> None:
    by_history, by_header = payloads(size)
    for payload in (by_history, by_header):
        assert mean_size(payload) == pytest.approx(size, rel=0.1)
    assert by_history.headers == ()
    assert by_header.history == 0


def test_a_long_history_leaves_products_to_recommend() -> None:
    (request,) = Payload("", history=5000).make(1)
    assert isinstance(request, RecommendRequest)
    assert len(request.history) == 5000
    assert len(set(request.history)) < 1000


def test_no_two_requests_are_alike_and_each_asks_for_so_many_answers() -> None:
    requests = [request for request in Payload("", k=100).make(200) if isinstance(request, RecommendRequest)]
    assert {request.k for request in requests} == {100}
    assert len({(request.user_id, tuple(request.history)) for request in requests}) == 200
