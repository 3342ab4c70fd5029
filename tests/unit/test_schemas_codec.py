"""Bytes to records and back: what is written is read again, and no bytes can do harm."""

from __future__ import annotations

import struct
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas import avro_schemas
from schemas.codec import SINGLE_OBJECT, Codec, Encoding, Malformed, sniff
from schemas.records import DrillCommand, Record, Result, SearchRequest
from standfast.errors import SchemaError, Unreadable

KINDS = tuple(sorted(Record.__subclasses__(), key=lambda kind: kind.avro_name))
CODEC = Codec()
_INT = st.integers(-(2**31), 2**31 - 1)
_LEAVES: dict[object, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), max_size=40),
    int: _INT,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
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
    read, found = CODEC.decode(data, type(record))
    assert found is encoding
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
    "data", [b"[" * 200_000, b'{"query": 7, "k": ', b'{"more": ' + b"[" * 200_000, b'{"query": 7} x']
)
def test_json_that_ends_early_or_never_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        CODEC.decode(data, SearchRequest)


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
    assert caught.value.request_id == "r1"
    assert caught.value.encoding is Encoding.JSON


@pytest.mark.parametrize("word", [b"worker-kill", b"  worker-kill\n", b'{"drill": "worker-kill"}'])
def test_a_drill_may_be_a_bare_word(word: bytes) -> None:
    assert CODEC.decode(word, DrillCommand)[0].drill == "worker-kill"


def test_a_confluent_frame_without_a_registry_says_what_is_missing() -> None:
    with pytest.raises(SchemaError, match="SCHEMA_REGISTRY_URL"):
        CODEC.encode(Result(request_id="r", status="ok"), Encoding.CONFLUENT)
    with pytest.raises(Unreadable, match="SCHEMA_REGISTRY_URL"):
        CODEC.decode(b"\x00\x00\x00\x00\x01x", Result)


def test_fields_from_a_newer_caller_are_let_through() -> None:
    assert CODEC.decode(b'{"query": "bag", "from_the_future": [1]}', SearchRequest)[0].query == "bag"
