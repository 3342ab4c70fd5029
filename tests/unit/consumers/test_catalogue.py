"""The changed products of a host: from records to the store, and from the store into a model."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.catalogue import products
from consumers.catalogue.changes import CatalogueChanges
from consumers.catalogue.known import known
from consumers.catalogue.store import CatalogueStore, Record, opened
from consumers.following import bulletin
from consumers.serving.cache import Cache
from models.attributes.reading import Attributes
from models.base import Change, Changeable, Query, SearchQuery
from models.data.catalogue import Catalogue
from schemas.codec import Codec, Encoding
from schemas.records import CatalogueItem, Item
from standfast.core.errors import DataError
from standfast.core.topics.topic_file import damaged
from tests.waiting import wait_until

_CODEC = Codec()


def change(key: bytes | None, value: bytes | None) -> Change:
    return products.read(key, value, _CODEC)


def product(item_id: str = "A1", title: str = "red lamp", **more: object) -> bytes:
    return json.dumps({"item_id": item_id, "title": title, **more}).encode()


def refused(key: bytes | None, value: bytes | None) -> str:
    with pytest.raises(products.Refused) as refusal:
        change(key, value)
    assert str(refusal.value)
    return refusal.value.reason


def test_a_record_is_read_as_a_row_of_a_catalogue_file_would_be() -> None:
    value = product(
        title="<b>Red</b> lamp", description="for &amp; of <p>moss</p>", category="Lamps", price=2.5, more=[1]
    )
    attributes = (("category", "Lamps"), ("more", ("1",)), ("price", 2.5))
    assert change(b"A1", value) == Change("A1", "Red lamp", "Red lamp. for & of moss. Lamps", attributes)
    assert change(b" A1 ", product(" A1")) == Change("A1", "red lamp", "red lamp")
    assert change(b"A1", None) == Change("A1", None)


def test_a_record_in_avro_is_read_too() -> None:
    more = {"colour": ["red", "blue"], "size": 38, "new": True, "none": None}
    record = CatalogueItem(item_id="A1", title="red lamp", category="lamps", price=2.5, attributes=more)
    read = change(b"A1", _CODEC.encode(record, Encoding.AVRO))
    assert read.text == "red lamp. lamps"
    assert read == change(b"A1", product(category="lamps", price=2.5, **more))
    assert dict(read.attributes) == {
        "category": "lamps", "colour": ("red", "blue"), "new": "true", "price": 2.5, "size": 38.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, product(), "key"),
        (None, None, "key"),
        (b"", product(""), "key"),
        (b"\xff\xfe", product(), "key"),
        (b"A2", product("A1"), "key"),
        (b"A1", b'{"item_id": "A1"}', "malformed"),
        (b"A1", b'{"item_id": "A1", "title": null}', "malformed"),
        (b"A1", b"[]", "malformed"),
        (b"A1", b"<!doctype html><title>502 Bad Gateway</title>", "unreadable"),
        (b"A1", b"", "unreadable"),
        (b"A1", b"\x00\x00\x00\x00\x07x", "unreadable"),
        (b"A1", product(title=" <br> "), "empty_title"),
        (b"A1", product(description="x" * 1_000_000), "too_long"),
        (b"A1", product(tags=[f"{number:0200}" for number in range(101)]), "too_long"),
        (b"A1", b'{"item_id": "A1", "title": "lamp", "weight": 1e400}', "malformed"),
    ],
)
def test_what_is_no_product_is_refused_with_a_reason(key: bytes | None, value: bytes | None, reason: str) -> None:
    assert refused(key, value) == reason


@given(key=st.none() | st.binary(max_size=20), value=st.none() | st.binary(max_size=60))
def test_any_bytes_are_a_change_or_refused(key: bytes | None, value: bytes | None) -> None:
    with contextlib.suppress(products.Refused):
        assert change(key, value).item_id


class Shelf:
    """A model that holds products, and counts the vectors that it computes."""

    vectors_of = "letters"

    def __init__(self) -> None:
        self.products: dict[str, str | None] = {}
        self.attributes: dict[str, Attributes] = {}
        self.encoded: list[str] = []
        self.broken: set[str] = set()

    def needs_vector(self, product: Change) -> bool:
        return product.title is not None

    def vector(self, text: str) -> bytes:
        if text in self.broken:
            raise RuntimeError("a text that no encoder can read")
        self.encoded.append(text)
        return text.encode()

    def change(self, product: Change, vector: bytes) -> None:
        assert vector == (b"" if product.title is None else product.text.encode())
        self.products[product.item_id] = product.title
        self.attributes[product.item_id] = product.attributes

    def restore(self, item_id: str) -> None:
        del self.products[item_id]


class Host:
    """A store with its bulletin, and the workers that follow it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = opened(folder, "one")
        self.at = 0
        self._workers: list[CatalogueChanges] = []

    def write(self, *changes: Change, partition: int = 0, at: int | None = None) -> None:
        self.at += 1
        self.store.write([Record(change, partition, at or self.at) for change in changes], {partition: self.at})

    def tell(self, *, complete: bool = True) -> None:
        bulletin.write(self.folder, bulletin.Bulletin(self.store.path.name, complete, time.time_ns() // 1_000_000))

    def another(self, identity: str) -> None:
        self.store.close()
        self.store = opened(self.folder, identity)

    def worker(self, model: Changeable | None = None, changed: Callable[[], None] = lambda: None) -> CatalogueChanges:
        made = CatalogueChanges(self.folder, model or Shelf(), "search", changed)
        self._workers.append(made)
        made.start()
        return made

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.store.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


def put(item_id: str, title: str) -> Change:
    return Change(item_id, title, title)


def caught_up(worker: CatalogueChanges, model: Shelf, products: dict[str, str | None]) -> None:
    def looks_right() -> bool:
        worker.apply(busy=False)
        return model.products == products

    wait_until(looks_right, what=f"{products}")


def test_what_changes_is_laid_over_the_model_and_clears_the_cache(host: Host) -> None:
    model, asked = Shelf(), list[Query]()

    def ask(queries: list[Query]) -> list[list[Item]]:
        asked.extend(queries)
        return [[Item("A1", 1.0, str(model.products.get("A1")))] for _ in queries]

    cache = Cache(ask, 10, "search.requests", ignores_user=True)  # type: ignore[arg-type]
    worker = host.worker(model, cache.clear)
    host.tell()
    assert cache.ask([SearchQuery("lamp", 1)]) == [[Item("A1", 1.0, "None")]]
    host.write(put("A1", "red lamp"), put("A2", "blue lamp"), Change("A3", None))
    caught_up(worker, model, {"A1": "red lamp", "A2": "blue lamp", "A3": None})
    assert cache.ask([SearchQuery("lamp", 1)]) == [[Item("A1", 1.0, "red lamp")]]
    worker.apply(busy=False)
    assert len(asked) == 2
    cache.ask([SearchQuery("lamp", 1)])
    assert len(asked) == 2, "an answer is kept while nothing changes"


def test_a_product_of_which_only_the_price_changes_is_changed_without_another_vector(host: Host) -> None:
    model, later = Shelf(), Shelf()
    worker = host.worker(model)
    host.tell()
    for price in (5.0, 6.0):
        host.write(Change("A1", "lamp", "lamp", (("colour", ("red", "blue")), ("price", price))))

        def looks_right(price: float = price) -> bool:
            worker.apply(busy=False)
            return dict(model.attributes.get("A1", ())).get("price") == price

        wait_until(looks_right, what=f"a price of {price}")
        wait_until(lambda: not worker._encoded, what="vectors that are shared")
    host.worker(later)
    assert later.attributes == model.attributes == {"A1": (("colour", ("red", "blue")), ("price", 6.0))}
    assert (model.encoded, later.encoded) == (["lamp"], [])


def test_a_store_of_a_release_without_attributes_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "one.17.db").touch()
    store = opened(tmp_path, "one")
    assert not (tmp_path / "one.17.db").exists(), "its topic is read again"
    store.close()
    again = opened(tmp_path, "one")
    assert again.path == store.path
    again.close()


def test_a_worker_that_starts_has_what_the_store_holds_and_encodes_nothing_again(host: Host) -> None:
    first, later = Shelf(), Shelf()
    worker = host.worker(first)
    host.tell()
    host.write(*(put(f"A{number}", f"lamp {number}") for number in range(1200)), Change("B", None))
    expected: dict[str, str | None] = {f"A{number}": f"lamp {number}" for number in range(1200)}
    caught_up(worker, first, expected | {"B": None})
    wait_until(lambda: not worker._encoded, what="vectors that are shared")
    host.worker(later)
    assert later.products == expected | {"B": None}
    assert (len(first.encoded), later.encoded) == (1200, [])


def test_workers_of_a_host_share_the_vectors_that_they_compute(host: Host) -> None:
    models = [Shelf(), Shelf()]
    workers = [host.worker(model) for model in models]
    host.tell()
    expected: dict[str, str | None] = {f"A{number}": f"lamp {number}" for number in range(60)}
    host.write(*(put(item_id, str(title)) for item_id, title in expected.items()))

    def both() -> bool:
        for worker in workers:
            worker.apply(busy=True)  # ten texts a second at most, so that they meet over the store
        return all(model.products == expected for model in models)

    wait_until(both, what="both models")
    assert len(models[0].encoded) + len(models[1].encoded) < 110, "120 if none were shared"


def test_while_requests_wait_few_texts_are_encoded_and_what_needs_no_vector_goes_on(host: Host) -> None:
    model = Shelf()
    worker = host.worker(model)
    host.tell()
    host.write(*(put(f"A{number}", f"lamp {number}") for number in range(500)), Change("B", None))
    wait_until(lambda: worker.apply(busy=True), what="changes that wait")
    began = time.monotonic()
    while time.monotonic() < began + 0.5:
        worker.apply(busy=True)
    assert 1 <= len(model.encoded) <= 1 + (time.monotonic() - began) / 0.1 + 1
    assert model.products["B"] is None


def test_the_last_record_of_a_product_counts_whatever_waits_for_its_vector(host: Host) -> None:
    model = Shelf()
    worker = host.worker(model)
    host.tell()
    host.write(put("A1", "first"))
    wait_until(lambda: worker._missing, what="a text without a vector")
    host.write(Change("A1", None))
    host.write(put("A2", "second"), put("A2", "third"))
    wait_until(lambda: worker._ready, what="a deletion that is read")
    caught_up(worker, model, {"A1": None, "A2": "third"})
    assert model.encoded == ["third"]


def test_a_text_that_cannot_be_encoded_is_passed_over(host: Host) -> None:
    model = Shelf()
    model.broken.add("bad")
    worker = host.worker(model)
    host.tell()
    host.write(put("A1", "bad"), put("A2", "good"))
    caught_up(worker, model, {"A2": "good"})


def test_of_a_topic_that_was_made_anew_only_what_is_in_it_counts(host: Host) -> None:
    model = Shelf()
    worker = host.worker(model)
    host.tell()
    host.write(put("A1", "one"), put("A2", "two"), Change("A3", None))
    caught_up(worker, model, {"A1": "one", "A2": "two", "A3": None})
    host.another("two")
    host.write(put("A1", "one"), put("A2", "another"))
    host.tell(complete=False)
    worker.apply(busy=False)
    assert model.products["A3"] is None, "until the new topic is read to its end, the old state counts"
    host.tell()
    caught_up(worker, model, {"A1": "one", "A2": "another"})
    assert model.encoded.count("one") == 1, "what did not change is not encoded again"


@pytest.mark.parametrize("how", ["garbage", "gone"])
def test_a_damaged_store_costs_no_change(how: str, host: Host) -> None:
    model = Shelf()
    worker = host.worker(model)
    host.tell()
    host.write(*(put(f"A{number}", f"lamp {number}") for number in range(200)))
    expected: dict[str, str | None] = {f"A{number}": f"lamp {number}" for number in range(200)}
    caught_up(worker, model, expected)
    wait_until(lambda: not worker._encoded, what="vectors that are shared")
    host.store.close()
    path = host.store.path
    if how == "garbage":
        for file in (path, path.with_name(path.name + "-wal")):
            file.write_bytes(os.urandom(200_000))
    else:
        path.unlink()
    worker.apply(busy=False)
    assert model.products == expected
    if how == "garbage":
        host.worker()
        assert damaged(path).exists(), "so the follower begins another one"
    host.store = CatalogueStore(host.folder / "one.9.db")
    host.write(*(put(f"A{number}", f"lamp {number}") for number in range(200)), put("B", "new"))
    host.tell()
    caught_up(worker, model, expected | {"B": "new"})


@pytest.mark.parametrize("between", [0, 1, 2])
def test_of_two_partitions_the_later_record_counts_in_whichever_order_they_are_read(between: int, host: Host) -> None:
    """A partition that is added moves keys; of one partition the records come in their order."""
    records = [(0, 10, "old"), (0, 30, "new")]
    records.insert(between, (1, 20, "between"))
    for partition, at, title in records:
        host.write(put("A1", title), partition=partition, at=at)
    assert host.store.connection.execute("select title from products").fetchone() == ("new",)
    host.write(put("A1", "with an older time"), at=5)
    assert host.store.connection.execute("select title from products").fetchone() == ("with an older time",)


def test_training_lays_what_the_host_knows_over_the_loaded_file(host: Host) -> None:
    assert known(host.folder) is None, "no follower has told of anything"
    host.write(put("A2", "new two"), Change("A1", None), Change("A4", "four", "four", (("price", 4.0),)))
    host.tell(complete=False)
    assert known(host.folder) is None, "the topic is not read to its end"
    host.tell()
    overlay = known(host.folder)
    assert overlay is not None
    assert overlay.offsets == "0:1"
    loaded = Catalogue(["A1", "A2", "A3"], ["one", "two", "three"], ["one", "two", "three"], "digest of the file")
    titles = ["new two", "three", "four"]
    attributes = ((), (), (("price", 4.0),))
    expected = Catalogue(["A2", "A3", "A4"], titles, titles, "digest of the file", attributes)
    assert loaded.overlaid(overlay.changes) == expected
    with pytest.raises(DataError, match="deletes every product"):
        loaded.overlaid([Change(item_id, None) for item_id in loaded.item_ids])


def test_training_goes_on_without_a_store_that_is_gone_or_that_nobody_keeps(host: Host) -> None:
    host.write(put("A1", "one"))
    long_ago = time.time_ns() // 1_000_000 - 60_000
    bulletin.write(host.folder, bulletin.Bulletin(host.store.path.name, complete=True, at=long_ago))
    assert known(host.folder) is None
    bulletin.write(host.folder, bulletin.Bulletin("gone.db", complete=True, at=time.time_ns() // 1_000_000))
    assert known(host.folder) is None


def test_vectors_of_texts_that_no_product_has_any_more_are_dropped(host: Host) -> None:
    model = Shelf()
    worker = host.worker(model)
    host.tell()
    host.write(put("A1", "one"), put("A2", "one"))
    caught_up(worker, model, {"A1": "one", "A2": "one"})
    wait_until(lambda: not worker._encoded, what="vectors that are shared")
    vectors = "select count(*) from vectors"
    host.write(put("A1", "two"))
    assert host.store.connection.execute(vectors).fetchone() == (1,), "another product has the text"
    host.write(Change("A2", None))
    assert host.store.connection.execute(vectors).fetchone() == (0,)
