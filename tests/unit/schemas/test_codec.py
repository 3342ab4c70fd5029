"""Records to bytes and back: what is written is read again, and no bytes do harm."""

from __future__ import annotations

import io
import struct
from typing import Any, get_args, get_origin, get_type_hints

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas import avro_schemas
from schemas.codec import SINGLE_OBJECT, Codec, Encoding, Malformed, sniff
from schemas.records import (
    CatalogueItem,
    DrillCommand,
    Facet,
    FacetRange,
    Item,
    Range,
    RecommendRequest,
    Record,
    Result,
    SearchRequest,
    Why,
)
from schemas.topics import TABLE
from standfast.core.errors import SchemaError, Unreadable

KINDS = tuple(sorted({topic.value for topic in TABLE if topic.value}, key=lambda kind: kind.avro_name))
CODEC = Codec()
_INT = st.integers(-(2**31), 2**31 - 1)
_LEAVES: dict[object, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), max_size=40),
    int: _INT,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    msgspec.UnsetType: st.just(msgspec.UNSET),
}


def _of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return st.builds(kind, **{name: _of(hints[name]) for name in kind.__struct_fields__})
    if kind in _LEAVES:
        return _LEAVES[kind]
    arguments = get_args(kind)
    if get_origin(kind) is list:
        return st.lists(_of(arguments[0]), max_size=4)
    if get_origin(kind) is dict:
        return st.dictionaries(_LEAVES[str], _of(arguments[1]), max_size=4)
    if arguments and all(isinstance(value, str) for value in arguments):
        return st.sampled_from(arguments)
    return st.one_of(*map(_of, arguments))


records: st.SearchStrategy[Record] = st.sampled_from(KINDS).flatmap(_of)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_has_the_fields_and_defaults_of_its_schema(kind: type[Record]) -> None:
    schema = avro_schemas.current(kind).parsed
    fields: Any = schema["fields"]
    assert [field["name"] for field in fields] == list(kind.__struct_fields__)
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    assert {field["name"] for field in fields if "default" not in field} == required


@hypothesis_settings(max_examples=150, deadline=None)
@given(record=records, encoding=st.sampled_from([Encoding.JSON, Encoding.AVRO]))
def test_what_is_written_is_read_again(record: Record, encoding: Encoding) -> None:
    data = CODEC.encode(record, encoding)
    assert sniff(data) is encoding
    read, read_encoding = CODEC.decode(data, type(record))
    assert read_encoding is encoding
    assert read == record


hostile = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=200).map(lambda tail: b"\x00" + tail),
    st.tuples(st.sampled_from(KINDS), st.binary(max_size=200)).map(
        lambda both: SINGLE_OBJECT + avro_schemas.current(both[0]).fingerprint + both[1]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ).map(msgspec.json.encode),
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(data=hostile, kind=st.sampled_from(KINDS))
def test_no_bytes_do_more_than_be_refused(data: bytes, kind: type[Record]) -> None:
    try:
        record, _ = CODEC.decode(data, kind)
    except (Unreadable, Malformed):
        return
    assert isinstance(record, kind)


@hypothesis_settings(max_examples=150, deadline=None)
@given(record=records, at=st.integers(min_value=0), flip=st.integers(1, 255))
def test_a_flipped_byte_of_avro_does_no_harm(record: Record, at: int, flip: int) -> None:
    data = bytearray(CODEC.encode(record, Encoding.AVRO))
    data[at % len(data)] ^= flip
    try:
        CODEC.decode(bytes(data), type(record))
    except (Unreadable, Malformed):
        return


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"query": 7, "k": ',
        b'{"more": ' + b"[" * 200_000,
        b'{"query": 7} x',
        b"[" * 2_000 + b"]" * 1_999 + b"}",
        b"[" * 2_000 + b'"' + b"]" * 2_000,
        b'"' + b'\\"' * 200_000,
        b'{"query": NaN}',
        b'{"query": 7, "k": Infinity}',
        b'{"query": "\x01"}',
        b'{"query": "\xff"}',
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf" * 100_000,
    ],
)
def test_json_that_ends_early_or_never_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        CODEC.decode(data, SearchRequest)


_DEEP = b"[" * 5_000 + b"]" * 5_000
_DIGITS = b"9" * 5_000


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b'"k": 1e400', r"range - at `\$\.k`"),
        (b'"k": -1e400', r"range - at `\$\.k`"),
        (b'"k": ' + _DIGITS, r"range - at `\$\.k`"),
        (b'"k": 0.' + _DIGITS, r"\$\.k`"),
        (b'"query": 7, "k": 1e400', r"str`, got `int` - at `\$\.query`"),
        (b'"query": 7, "more": 1e400', r"str`, got `int` - at `\$\.query`"),
        (b'"query": "\\ud800"', r"surrogate .* at `\$\.query`"),
        (b'"query": "\\udc00\\ud800"', r"surrogate .* at `\$\.query`"),
        (b'"more": {"in": ["\\ud800"]}', r"surrogate .* at `\$\.more\.in\[\.\.\.\]`"),
        (b'"\\ud800": 1', "surrogate in a key"),
        (b'"user_id": {"a": "\\u0000"}', r"\$\.user_id`"),
        (b'"more": ' + _DEEP, r"deeply - at `\$\.more`"),
        (b'"more": [1], "deep": ' + _DEEP, r"deeply - at `\$\.deep`"),
        (b'"query": 7, "more": ' + _DEEP, r"\$\.query`"),
        (b'"k": "x", "k": 7, "query": 1', r"\$\."),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_json_is_refused_with_its_field_and_its_id(field: bytes, reason: str, mark: bytes) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        CODEC.decode(mark + b'{"query": "bag", ' + field + b', "request_id": "r1"}', SearchRequest)
    assert caught.value.text("request_id") == "r1"
    assert caught.value.encoding is Encoding.JSON


@pytest.mark.parametrize("data", [b"1e400", b'"\\ud800"', b"[1e400]", _DEEP, _DIGITS, b"null"])
def test_json_that_is_no_object_is_refused_too(data: bytes) -> None:
    with pytest.raises(Malformed):
        CODEC.decode(data, SearchRequest)


def test_an_id_that_cannot_be_written_is_not_taken_for_one() -> None:
    with pytest.raises(Malformed, match=r"\$\.request_id") as caught:
        CODEC.decode(b'{"request_id": "r\\ud800", "query": "bag"}', SearchRequest)
    assert caught.value.text("request_id") is None


def test_a_reason_is_short_however_long_the_callers_names_are() -> None:
    with pytest.raises(Malformed) as caught:
        CODEC.decode(b'{"query": "bag", "' + b"k" * 100_000 + b'": ["\\ud800"]}', SearchRequest)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize(
    "data", [b'{"query": "bag"}', b'\xef\xbb\xbf{"query": "bag"}', b' {"query": "x", "query": "bag"}']
)
def test_a_byte_order_mark_and_a_name_given_twice_do_no_harm(data: bytes) -> None:
    assert CODEC.decode(data, SearchRequest)[0].query == "bag"


json_texts = st.recursive(
    st.sampled_from(
        ["null", "true", "1e400", "-1E+999", "9" * 40, "9" * 4400, "0.1", '"\\ud800"', '"\\u0000"', '"a"', "{}"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from(["a", "\\udfff", "query", "k"]), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f'"{name}": {value}' for name, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    fields=st.lists(
        st.tuples(st.sampled_from(["query", "k", "user_id", "history", "context", "seed", "x"]), json_texts)
    ),
    kind=st.sampled_from(KINDS),
    depth=st.sampled_from([0, 0, 0, 3_000]),
)
def test_whatever_rfc_8259_allows_is_read_or_refused_under_its_id(
    fields: list[tuple[str, str]], kind: type[Record], depth: int
) -> None:
    pairs = [*fields, ("deep", "[" * depth + "]" * depth if depth else "0"), ("request_id", '"r1"')]
    text = "{" + ",".join(f'"{name}": {value}' for name, value in pairs) + "}"
    try:
        record, _ = CODEC.decode(text.encode(), kind)
    except Malformed as error:
        assert error.text("request_id") == "r1"  # noqa: PT017
    else:
        if "k" not in kind.__struct_fields__:  # admission checks its range; requests are not written again
            assert CODEC.encode(record, Encoding.AVRO), "what was read can be written"


def test_an_array_that_claims_to_be_endless_is_refused() -> None:
    head = SINGLE_OBJECT + avro_schemas.current(Result).fingerprint
    with pytest.raises(Unreadable):
        CODEC.decode(head + b"\x02r\x00" + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", Result)


@pytest.mark.parametrize("data", [None, b"", b"\x00\x00", struct.pack(">bI", 0, 7) + b"x", b"\xc3\x01", b"{", b"\xff"])
def test_what_cannot_be_read_says_why(data: bytes | None) -> None:
    with pytest.raises(Unreadable, match=r"\w+ \w+"):
        CODEC.decode(data, SearchRequest)


def test_a_wrong_field_keeps_the_request_id_for_the_answer() -> None:
    with pytest.raises(Malformed) as caught:
        CODEC.decode(b'{"request_id": "r1", "query": 7}', SearchRequest)
    assert caught.value.text("request_id") == "r1"
    assert caught.value.encoding is Encoding.JSON


@pytest.mark.parametrize(
    "word", [b"worker-kill", b"  worker-kill\n", b"\xef\xbb\xbfworker-kill\r\n", b'{"drill": "worker-kill"}']
)
def test_a_drill_may_be_a_bare_word(word: bytes) -> None:
    assert CODEC.decode(word, DrillCommand)[0].drill == "worker-kill"


def test_a_confluent_frame_without_a_registry_says_what_is_missing() -> None:
    with pytest.raises(SchemaError, match="SCHEMA_REGISTRY_URL"):
        CODEC.encode(Result(request_id="r", status="ok"), Encoding.CONFLUENT)
    with pytest.raises(Unreadable, match="SCHEMA_REGISTRY_URL"):
        CODEC.decode(b"\x00\x00\x00\x00\x01x", Result)


def test_fields_from_a_newer_caller_are_let_through() -> None:
    assert CODEC.decode(b'{"query": "bag", "from_the_future": [1]}', SearchRequest)[0].query == "bag"


_PLAIN = Result(request_id="r", status="ok", items=[Item("a", 0.5, "Lamp")], model="search@1", worker="search-0")


def test_a_plain_answer_is_written_as_clients_of_before_know_it() -> None:
    """They know the fields of JSON, perhaps no others, and the fingerprint of the schema's first version."""
    fields = msgspec.json.decode(CODEC.encode(_PLAIN, Encoding.JSON))
    assert list(fields) == [field["name"] for field in avro_schemas.released("result")[0].parsed["fields"]]  # type: ignore[attr-defined]
    assert list(fields["items"][0]) == ["item_id", "score", "title"]
    data = CODEC.encode(_PLAIN, Encoding.AVRO)
    assert data.startswith(SINGLE_OBJECT + avro_schemas.released("result")[0].fingerprint)
    assert CODEC.decode(data, Result)[0] == _PLAIN


@pytest.mark.parametrize(
    "more",
    [
        {"facets": {"price": Facet(count=3, ranges=[FacetRange(1.0, 2.5, 3)])}},
        {"items": [Item("a", 0.5, "Lamp", Why(["Lamp"], 0.3, 0.2))]},
    ],
)
def test_an_answer_with_facets_or_reasons_is_written_in_the_newest_version(more: dict[str, Any]) -> None:
    answer = msgspec.structs.replace(_PLAIN, **more)
    data = CODEC.encode(answer, Encoding.AVRO)
    assert data.startswith(SINGLE_OBJECT + avro_schemas.current(Result).fingerprint)
    for encoding in (Encoding.AVRO, Encoding.JSON):
        assert CODEC.decode(CODEC.encode(answer, encoding), Result)[0] == answer


@pytest.mark.parametrize("kind", [SearchRequest, RecommendRequest, CatalogueItem])
def test_what_a_client_of_before_wrote_is_read(kind: type[Record]) -> None:
    old = avro_schemas.released(kind.avro_name)[0]
    fields = {"query": "bag", "user_id": "u", "item_id": "a", "title": "Lamp", "k": 3}
    record = msgspec.convert({name: fields[name] for name in kind.__struct_fields__ if name in fields}, kind)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old.parsed, msgspec.to_builtins(record))
    assert CODEC.decode(SINGLE_OBJECT + old.fingerprint + out.getvalue(), kind)[0] == record


def test_filters_are_read_in_every_form() -> None:
    filters = b'{"price": {"min": 5}, "category": ["Lamps", 7, true], "colour": "red", "year": 2}'
    request, _ = CODEC.decode(b'{"query": "bag", "filters": ' + filters + b"}", SearchRequest)
    assert request.filters == {"price": Range(5.0, None), "category": ["Lamps", 7, True], "colour": "red", "year": 2}
    assert CODEC.decode(CODEC.encode(request, Encoding.AVRO), SearchRequest)[0] == request


@pytest.mark.parametrize(
    "wanted", ['{"mni": 5}', '{"min": "5"}', "null", "[null]", "[[1]]", "NaN", '{"min": NaN}', '{"max": 1e400}']
)
def test_what_cannot_be_a_filter_is_refused(wanted: str) -> None:
    with pytest.raises((Malformed, Unreadable)):
        CODEC.decode(b'{"query": "bag", "filters": {"price": ' + wanted.encode() + b"}}", SearchRequest)
