"""Filters, facets and reasons through the topics of a running system, in JSON and Avro, while products change."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest

from schemas import avro_schemas
from schemas.codec import SINGLE_OBJECT, Codec, Encoding
from schemas.records import CatalogueItem, Range, RecommendRequest, Result, SearchRequest, ServiceRequest
from tests.support.changing_shop import SEARCHABLE_S, ChangingShop
from tests.waiting import wait_until

_CODEC = Codec()


@pytest.fixture(scope="module")
def shop(broker: str, trained_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChangingShop]:
    made = ChangingShop(
        tmp_path_factory.mktemp("shop"), broker, "filters.", trained_shop,
        STANDFAST_RECOMMEND__WORKERS="1", STANDFAST_SEARCH__WORKERS="1",
    )  # fmt: skip
    made.start()
    yield made
    made.close()


def answered(shop: ChangingShop, request: ServiceRequest) -> Result:
    answer = shop.caller.ask(request, 60)
    assert answer.status == "ok", answer.error
    return answer


def cheap(shop: ChangingShop, least: float, most: float, query: str = "lunch bag") -> list[str]:
    request = SearchRequest(query=query, k=100, filters={"price": Range(least, most)})
    return [item.item_id for item in answered(shop, request).items]


def test_a_product_that_gets_another_price_comes_into_and_out_of_a_filter(shop: ChangingShop) -> None:
    def is_there(item_id: str, least: float, most: float) -> bool:
        return item_id in cheap(shop, least, most, "Grimblewick Lamp")

    shop.put("NEW1", "Grimblewick Lamp", price=4_000, colour="red")
    wait_until(lambda: is_there("NEW1", 3_000, 5_000), SEARCHABLE_S, what="the new product")
    shop.put("NEW1", "Grimblewick Lamp", price=6_000)
    wait_until(lambda: is_there("NEW1", 5_500, 6_500), SEARCHABLE_S, what="the new product with its new price")
    assert cheap(shop, 3_000, 5_000) == []
    [best] = answered(shop, RecommendRequest(k=1)).items
    shop.put(best.item_id, best.title, price=9_000)
    wait_until(lambda: cheap(shop, 8_500, 9_500) == [best.item_id], SEARCHABLE_S, what="the new price in search")
    dear = RecommendRequest(k=5, filters={"price": Range(8_500, 9_500)})
    wait_until(
        lambda: [item.item_id for item in answered(shop, dear).items] == [best.item_id], SEARCHABLE_S, what="its price"
    )
    shop.delete(best.item_id)
    wait_until(lambda: cheap(shop, 8_500, 9_500) == [], SEARCHABLE_S, what="a deletion")
    shop.delete("NEW1")
    wait_until(lambda: not is_there("NEW1", 5_500, 6_500), SEARCHABLE_S, what="a deletion")


def test_a_product_in_avro_brings_its_attributes(shop: ChangingShop) -> None:
    record = CatalogueItem(item_id="AVRO1", title="Zanthoril Vase", attributes={"price": 7_000.0})
    shop.desk.send("catalogue", _CODEC.encode(record, Encoding.AVRO), b"AVRO1")
    wait_until(lambda: cheap(shop, 6_900, 7_100, "zanthoril") == ["AVRO1"], SEARCHABLE_S, what="the product")
    shop.delete("AVRO1")


def test_an_answer_has_facets_and_reasons_and_another_request_has_none(shop: ChangingShop) -> None:
    filters = {"price": Range(1, 3)}
    full = answered(shop, SearchRequest(query="lunch bag", k=5, filters=filters, facets=["price"], explain=True))
    plain = answered(shop, SearchRequest(query="lunch bag", k=5, filters=filters))
    again = answered(shop, SearchRequest(query="lunch bag", k=5, filters=filters, facets=["price"], explain=True))
    assert [item.item_id for item in full.items] == [item.item_id for item in plain.items]
    assert all(item.why is None for item in plain.items)
    assert not isinstance(plain.facets, dict)
    assert isinstance(full.facets, dict)
    counted = full.facets["price"]
    assert counted.count == sum(each.count for each in counted.ranges) > 5, "its own filter does not count"
    assert (again.items, again.facets) == (full.items, full.facets), "from the cache, or computed again"
    for item in full.items:
        assert item.why is not None
        assert {"LUNCH", "BAG"} & set(item.why.words)
    [first, *_] = answered(shop, RecommendRequest(user_id="17850", k=5, filters=filters, explain=True)).items
    assert first.why is not None
    assert first.why.because


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        (SearchRequest(query="bag", filters={"prise": Range(1, 3)}), ["'prise'", "'price'"]),
        (SearchRequest(query="bag", filters={"price": Range(3, 1)}), ["'price'", "exchange"]),
        (SearchRequest(query="bag", filters={"price": "cheap"}), ["'cheap'", "number"]),
        (SearchRequest(query="bag", facets=["colour"]), ["'colour'"]),
        (RecommendRequest(user_id="17850", filters={"color": "red"}), ["'color'"]),
    ],
)
def test_a_wrong_filter_is_answered_invalid(shop: ChangingShop, request_: ServiceRequest, parts: list[str]) -> None:
    answer = shop.caller.ask(request_, 60)
    assert answer.status == "invalid"
    assert [part for part in parts if part not in str(answer.error)] == [], answer.error


def asked_in_avro(shop: ChangingShop, name: str, version: int, fields: dict[str, Any]) -> bytes:
    """The bytes of the answer to a search, written with a version of a schema as a client with its own library does."""
    schema = avro_schemas.released(name)[version - 1]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, fields)
    with shop.desk.reader("search.results") as results:
        shop.desk.send("search.requests", SINGLE_OBJECT + schema.fingerprint + out.getvalue())
        found = results.until(lambda message: fields["request_id"].encode() in (message.value() or b""))
        value: bytes = found.value()
    return value


def test_avro_clients_of_before_get_what_they_know_and_new_ones_all(shop: ChangingShop, unique: str) -> None:
    plain = {"query": "lunch bag", "k": 3, "request_id": f"{unique}-old", "user_id": None}
    first, second = avro_schemas.released("result")
    old = asked_in_avro(shop, "search_request", 1, plain)
    assert old.startswith(SINGLE_OBJECT + first.fingerprint)
    read: Any = fastavro.schemaless_reader(io.BytesIO(old[10:]), first.parsed, None)
    assert len(read["items"]) == 3
    more = {"filters": {"price": {"min": 1.0, "max": 3.0}}, "facets": ["price"], "explain": True}
    new = asked_in_avro(shop, "search_request", 2, {**plain, **more, "request_id": f"{unique}-new"})
    assert new.startswith(SINGLE_OBJECT + second.fingerprint)
    answer: Any = fastavro.schemaless_reader(io.BytesIO(new[10:]), second.parsed, None)
    assert answer["facets"]["price"]["ranges"]
    assert "BAG" in answer["items"][0]["why"]["words"]
    wrong = {"filters": {"price": {"min": float("nan"), "max": None}}, "facets": [], "explain": False}
    refused = asked_in_avro(shop, "search_request", 2, {**plain, **wrong, "request_id": f"{unique}-nan"})
    assert b"finite" in refused
