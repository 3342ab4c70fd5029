"""Requests of a given size: as large as they are said to be, and never one twice."""

from __future__ import annotations

import msgspec
import pytest

from bench.growth.payloads import Payload, payloads
from schemas.records import RecommendRequest

pytestmark = pytest.mark.usefixtures("empty_home")


def mean_size(one: Payload, count: int = 50) -> float:
    """Products' ids are not all of one length."""
    headers = sum(len(value) for _, value in one.headers)
    return headers + sum(len(msgspec.json.encode(request)) for request in one.make(count)) / count


@pytest.mark.parametrize("size", [200, 2000, 20_000])
def test_a_payload_has_the_size_it_is_said_to_have(size: int) -> None:
    by_history, by_header = payloads(size)
    for one in (by_history, by_header):
        assert mean_size(one) == pytest.approx(size, rel=0.1)
    assert by_history.headers == ()
    assert by_header.history == 0


def test_a_long_history_leaves_products_to_recommend() -> None:
    (request,) = Payload("", history=5000).make(1)
    assert isinstance(request, RecommendRequest)
    assert len(request.history) == 5000
    assert len(set(request.history)) < 1000


def test_no_two_requests_are_alike_and_each_asks_for_so_many_answers() -> None:
    asked = [one for one in Payload("", k=100).make(200) if isinstance(one, RecommendRequest)]
    assert {one.k for one in asked} == {100}
    assert len({(one.user_id, tuple(one.history)) for one in asked}) == 200
