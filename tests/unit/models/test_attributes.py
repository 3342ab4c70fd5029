"""Attributes of products: read, kept as arrays, changed one by one, filtered and counted as a loop over all would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.attributes.checking import refusal
from models.attributes.columns import Columns, build_attributes, load_attributes
from models.attributes.facets import facet
from models.attributes.live import LiveAttributes
from models.attributes.reading import Attributes, attributes_of, number_of, texts_of
from models.base import Filter, Refined
from models.data.catalogue import read_catalogue

_NUMBERS = (-1.0, 0.0, 0.5, 2.55, 5.0, 20.0, 1e9)
_TEXTS = ("Lamps", "Garden", "red", "5", "Öl & Essig", "007")
_values = st.one_of(
    st.sampled_from(_NUMBERS), st.sampled_from(_TEXTS), st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=3)
)
_products = st.fixed_dictionaries(
    {}, optional={"price": st.sampled_from(_NUMBERS), "category": st.sampled_from(_TEXTS), "tags": _values}
).map(attributes_of)
_catalogues = st.lists(_products, max_size=12)
_bounds = st.sampled_from(sorted({*_NUMBERS, -9.0, 3.0, 1e12}))
_filters = st.one_of(
    st.builds(lambda low, high: Filter("price", min(low, high), max(low, high)), _bounds, _bounds),
    st.builds(lambda values: Filter("price", values=("5", *values)), st.lists(st.sampled_from(["0.5", "20"]))),
    st.builds(
        Filter,
        st.sampled_from(["category", "tags"]),
        values=st.lists(st.sampled_from([*_TEXTS, "unknown"]), min_size=1, max_size=3).map(tuple),
    ),
)


def kept(products: Sequence[Attributes]) -> Columns:
    with TemporaryDirectory() as folder:
        build_attributes(products, Path(folder))
        loaded = load_attributes(Path(folder))
    assert loaded is not None
    return loaded


def holds(wanted: Filter, attributes: Attributes, columns: Columns) -> bool:
    """What a filter means, product by product."""
    value = dict(attributes).get(wanted.attribute)
    if value is None:
        return False
    if wanted.values:
        if hasattr(columns.by_name[wanted.attribute], "numbers"):
            return number_of(value) in map(number_of, wanted.values)
        return bool(set(texts_of(value)) & set(wanted.values))
    number = number_of(value)
    return number is not None and wanted.least <= number <= wanted.most


@given(
    trained=_catalogues,
    changes=st.lists(st.tuples(st.integers(0, 15), st.none() | _products), max_size=12),
    filters=st.lists(_filters, max_size=3),
)
def test_filters_and_counts_are_those_of_a_loop_over_all_products(
    trained: list[Attributes], changes: list[tuple[int, Attributes | None]], filters: list[Filter]
) -> None:
    columns = kept(trained)
    live, now = LiveAttributes(columns), dict(enumerate(trained))
    for index, attributes in changes:
        if attributes is None:
            live.forget(index)
            now.pop(index, None)
            if index < len(trained):
                now[index] = trained[index]
        else:
            live.put(index, attributes)
            now[index] = attributes
    filters = [wanted for wanted in filters if wanted.attribute in columns.by_name]
    filters = [wanted for wanted in filters if not refusal(Refined((wanted,)), columns, "search@1")]
    mask = live.mask(filters, 16)
    wanted = {index for index, each in now.items() if all(holds(one, each, columns) for one in filters)}
    assert set(mask.nonzero()[0].tolist()) == wanted
    for name, column in columns.by_name.items():
        counted = facet(live, name, mask)
        assert counted.count == len(wanted)
        values = [dict(now[index])[name] for index in wanted if name in dict(now[index])]
        if hasattr(column, "numbers"):
            numbers = [number for value in values if (number := number_of(value)) is not None]
            assert sum(each.count for each in counted.ranges) == len(numbers)
            for each in counted.ranges:
                assert each.count == sum(each.min <= number <= each.max for number in numbers), (
                    "as a filter by it finds"
                )
        else:
            expected = Counter(text for value in values for text in texts_of(value))
            assert {each.value: each.count for each in counted.values} == dict(expected)


@given(_catalogues, _products)
def test_whether_attributes_are_those_of_the_training_is_known(trained: list[Attributes], other: Attributes) -> None:
    columns = kept(trained)
    for index, attributes in enumerate(trained):
        assert columns.as_trained(index, attributes)
        is_same = [(name, texts_of(value)) for name, value in attributes] == [
            (name, texts_of(value)) for name, value in other
        ]
        assert columns.as_trained(index, other) == is_same


def test_a_file_gives_the_same_attributes_as_csv_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(
        "item_id,title,category,price,Year,size,code,image,description\n"
        'a,Lamp,Lamps &amp; <b>more</b>,2.50,2024,38,007,http://x,"for oak"\n'
        "b,Hat,,,,M,12,,\n"
    )
    (tmp_path / "shop.jsonl").write_text(
        '{"item_id": "a", "title": "Lamp", "category": "Lamps & more", "price": 2.5, "year": "2024", "size": 38, '
        '"code": "007", "image": "http://x", "description": "for oak", "none": null, "deep": {"x": 1}}\n'
        '{"item_id": "b", "title": "Hat", "size": "M", "code": 12, "empty": "", "long": "' + "x" * 201 + '"}\n'
    )
    columns = [kept(read_catalogue(tmp_path / name)[0].attributes) for name in ("shop.csv", "shop.jsonl")]
    for each in columns:
        assert set(each.by_name) == {"category", "price", "year", "size", "code"}
        assert {name for name, column in each.by_name.items() if hasattr(column, "numbers")} == {"price", "year"}
        live = LiveAttributes(each)
        for wanted, found in (
            (Filter("category", values=("Lamps & more",)), [True, False]),
            (Filter("price", 2.5, 2.5), [True, False]),
            (Filter("year", values=("2024",)), [True, False]),
            (Filter("size", values=("38", "M")), [True, True]),
            (Filter("code", values=("7", "12")), [False, True]),
        ):
            assert live.mask([wanted], 2).tolist() == found, wanted
    assert (columns[0].digests == columns[1].digests).all()


def test_a_further_field_that_cannot_be_read_costs_its_row(tmp_path: Path) -> None:
    rows = [f'{{"item_id": "{number}", "title": "Lamp", "weight": {number}}}\n' for number in range(40)]
    (tmp_path / "shop.jsonl").write_text("".join([*rows, '{"item_id": "x", "title": "Lamp", "weight": 1e400}\n']))
    catalogue, skipped = read_catalogue(tmp_path / "shop.jsonl")
    assert len(catalogue) == len(catalogue.attributes) == 40
    assert skipped.total == 1


_SHOP: Sequence[Mapping[str, object]] = (
    {"category": "Lamps", "price": 5, "colour": "red", "weight": "2.5"},
    {"category": "Garden", "price": 20.5, "colour": ["red", "blue"], "weight": 3},
    {"category": "Garden", "price": 7, "weight": "n/a"},
)


@pytest.mark.parametrize(
    ("filters", "facets", "parts"),
    [
        ((Filter("colur", values=("red",)),), (), ["'colur'", "'colour'", "category, colour, price"]),
        ((), ("Price",), ["'Price'", "'price'"]),
        ((Filter("zzzz", 1, 2),), (), ["'zzzz'", "there are category"]),
        ((Filter("category", 1, 2),), (), ["'category'", "is text", '"Lamps"']),
        ((Filter("weight", 1, 2),), (), ["'weight'", "1 of its 3 values are no numbers", "'n/a'"]),
        ((Filter("price", values=("cheap",)),), (), ["'price'", "'cheap'", "is a number", '{"min": …}']),
    ],
)
def test_a_wrong_filter_is_refused_with_its_value_and_the_remedy(
    filters: tuple[Filter, ...], facets: tuple[str, ...], parts: list[str]
) -> None:
    columns = kept([attributes_of(product) for product in _SHOP])
    reason = refusal(Refined(filters, facets), columns, "search@1")
    assert [part for part in parts if part not in reason] == [], reason


def test_right_filters_are_not_refused() -> None:
    columns = kept([attributes_of(product) for product in _SHOP])
    right = (Filter("price", 1, 2), Filter("price", values=("5", "7.5")), Filter("colour", values=("of no product",)))
    assert refusal(Refined(right, ("category", "price"), explain=True), columns, "search@1") == ""
    assert refusal(Refined(explain=True), None, "search@1") == ""


def test_a_version_of_an_earlier_release_says_that_it_must_be_trained_again(tmp_path: Path) -> None:
    assert load_attributes(tmp_path) is None
    reason = refusal(Refined(facets=("price",)), None, "recommend@3")
    assert "recommend@3" in reason
    assert "standfast models train recommend" in reason


def test_an_attribute_of_too_many_values_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.attributes.columns._MOST_VALUES", 20)
    columns = kept([attributes_of({"ean": f"e{number}", "colour": "red"}) for number in range(21)])
    assert set(columns.by_name) == {"colour"}
    assert "21 different values" in refusal(Refined(facets=("ean",)), columns, "search@1")
