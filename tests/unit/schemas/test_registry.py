"""The Confluent frame, with a small schema registry on loopback that may be away, hang or answer nonsense."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.codec import CONFLUENT, Codec, Encoding
from schemas.configured import codec_for
from schemas.records import Interaction, Result, SearchRequest
from schemas.registry import SchemaRegistry
from standfast.core.errors import SchemaError, Unreadable
from standfast.core.settings import Settings
from tests.support.registry import Registry, running_registry
from tests.waiting import wait_until

_REQUEST = SearchRequest(query="lunch bag", request_id="r1", k=3)
_OLDER = json.dumps({"type": "record", "name": "SearchRequest", "namespace": "standfast",
                     "fields": [{"name": "query", "type": "string"}]})  # fmt: skip
_AWAY = (503, {"error_code": 50003, "message": "no leader"})
Make = Callable[..., SchemaRegistry]


@pytest.fixture
def server() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


@pytest.fixture
def make(server: Registry, tmp_path: Path) -> Iterator[Make]:
    made: list[SchemaRegistry] = []

    def build(url: str = server.url, folder: str = "one", patience_s: float = 20.0) -> SchemaRegistry:
        made.append(SchemaRegistry(url.replace("//", "//user:s3cr3t@"), tmp_path / folder, patience_s))
        return made[-1]

    yield build
    for registry in made:
        registry.close()


def frame(schema_id: int, body: bytes = b"\x06bag") -> bytes:
    return CONFLUENT + schema_id.to_bytes(4, "big") + body


def waits(codec: Codec, data: bytes | None) -> bool:
    assert codec.waits is not None
    return codec.waits(data)


def test_subjects_are_the_topics_values(server: Registry, make: Make) -> None:
    registry = make()
    registry.declare(SearchRequest, "shop.search.requests")
    assert registry.id_of(SearchRequest) == 1
    assert server.asked == ["/subjects/shop.search.requests-value/versions"]


def test_a_frame_carries_the_id_and_is_read_by_another_process(server: Registry, make: Make) -> None:
    registry = make()
    registry.declare(Interaction, "interactions")
    registry.declare(SearchRequest, "search.requests")
    data = Codec(registry).encode(_REQUEST, Encoding.CONFLUENT)
    assert data[:5] == CONFLUENT + (2).to_bytes(4, "big")
    other = make(folder="other")
    for _ in range(3):
        assert Codec(other).decode(data, SearchRequest) == (_REQUEST, Encoding.CONFLUENT)
    assert server.asked.count("/schemas/ids/2") == 1, "a schema is asked for once, then cached"


def test_an_older_writers_schema_is_read_with_the_defaults_of_ours(server: Registry, make: Make) -> None:
    server.schemas.append(_OLDER)
    assert Codec(make()).decode(frame(1), SearchRequest)[0] == SearchRequest(query="bag")


def test_an_unknown_id_makes_one_record_unreadable_at_once(server: Registry, make: Make) -> None:
    registry = make()
    with pytest.raises(Unreadable, match=r"schema id 77 .*404"):
        Codec(registry).decode(frame(77), SearchRequest)
    with pytest.raises(Unreadable, match=r"schema id 77 .*404"):
        Codec(registry).decode(frame(77), SearchRequest)
    assert server.asked == ["/schemas/ids/77"], "the refusal is remembered for a while"


def test_a_schema_that_never_was_declared_is_not_written(make: Make) -> None:
    with pytest.raises(SchemaError, match="search_request was never registered"):
        Codec(make()).encode(_REQUEST, Encoding.CONFLUENT)


def test_a_registry_that_is_down_is_one_clear_error_for_whoever_writes(make: Make) -> None:
    registry = make("http://127.0.0.1:1", patience_s=0.3)
    registry.declare(SearchRequest, "search.requests")
    with pytest.raises(SchemaError, match=r"127\.0\.0\.1:1 does not answer .*SCHEMA_REGISTRY_URL") as caught:
        registry.id_of(SearchRequest)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("status", [409, 403])
def test_a_refused_schema_says_why_without_the_password(server: Registry, make: Make, status: int) -> None:
    server.failing = (status, {"error_code": status, "message": "incompatible"})
    registry = make()
    registry.declare(SearchRequest, "search.requests")
    with pytest.raises(SchemaError, match=rf"{status} .*incompatible") as caught:
        registry.id_of(SearchRequest)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3";'}),
        (200, {"schemaType": "JSON", "schema": "{}"}),
        (200, {"schema": '"string"'}),
        (200, {"schema": "no json"}),
        (200, {"schema": 7}),
        (200, {"schema": '{"type": "record", "name": "A", "fields": [{"name": "b", "type": "shop.Place"}]}'}),
        (200, {"schema": _OLDER, "references": [{"name": "shop.Place", "subject": "place", "version": 1}]}),
        (200, {}),
        (404, {"error_code": 40403, "message": "not found"}),
        (401, b"<html>who are you?</html>"),
        (403, {"error_code": 403, "message": "no"}),
    ],
)
def test_an_answer_of_an_unexpected_kind_makes_one_record_unreadable(
    server: Registry, make: Make, answer: tuple[int, object]
) -> None:
    codec = Codec(make())
    server.failing = answer
    with pytest.raises(Unreadable):
        codec.decode(frame(5), SearchRequest)


@pytest.mark.parametrize(
    "answer", [_AWAY, (500, {}), (502, b"<html>"), (429, {"error_code": 429}), (200, b"<html>"), (404, b"no backend")]
)
def test_what_passes_is_waited_for_and_answered_in_the_end(
    server: Registry, make: Make, answer: tuple[int, object]
) -> None:
    server.schemas.append(_OLDER)
    server.failing = answer
    codec = Codec(make())
    assert waits(codec, frame(1))
    wait_until(lambda: server.asked.count("/schemas/ids/1") > 1, what="it is asked for again")
    assert waits(codec, frame(1))
    assert not waits(codec, b'{"query": "bag"}'), "only what needs the registry waits"
    assert not waits(codec, codec.encode(_REQUEST, Encoding.AVRO))
    assert not waits(codec, None)
    server.failing = None
    wait_until(lambda: not waits(codec, frame(1)), what="the registry has answered")
    assert codec.decode(frame(1), SearchRequest)[0].query == "bag"


def test_a_registry_that_hangs_holds_nobody_up_who_asks_whether_to_wait(server: Registry, make: Make) -> None:
    server.hanging.clear()
    codec = Codec(make())
    began = time.monotonic()
    assert all(waits(codec, frame(number)) for number in range(100, 140))
    assert time.monotonic() - began < 2.5, "forty frames took less than the time-out of one call"


def test_after_one_patience_nothing_waits_until_it_answers_again(server: Registry, make: Make) -> None:
    server.schemas.append(_OLDER)
    server.failing = _AWAY
    codec = Codec(make(patience_s=0.5))
    assert waits(codec, frame(1))
    wait_until(lambda: not waits(codec, frame(1)), what="it has been waited for long enough")
    wait_until(lambda: not waits(codec, frame(2)), what="nor is another frame of the same outage waited for")
    assert not waits(codec, frame(3)), "not even the first time"
    with pytest.raises(Unreadable, match=r"schema id 2 .*503"):
        codec.decode(frame(2), SearchRequest)
    server.failing = None
    wait_until(lambda: _reads(codec, frame(1)), what="it was asked for all the same")


def test_requests_wait_until_their_answers_can_be_written(server: Registry, make: Make) -> None:
    server.schemas.append(_OLDER)
    first = make()
    assert Codec(first).decode(frame(1), SearchRequest)[0].query == "bag"
    server.failing = _AWAY
    registry = make()
    registry.declare(Result, "search.results", answers=True)
    codec = Codec(registry)
    assert waits(codec, frame(1)), "the schema is known from the disk, the answer's id is not"
    server.failing = None
    wait_until(lambda: not waits(codec, frame(1)), what="the answer's id is known")
    assert codec.encode(Result(request_id="r", status="ok"), Encoding.CONFLUENT)[:5] == frame(2, b"")


def test_what_was_once_known_needs_no_registry_in_a_new_process(server: Registry, make: Make) -> None:
    first = make()
    first.declare(SearchRequest, "search.requests", answers=True)
    data = Codec(first).encode(_REQUEST, Encoding.CONFLUENT)
    second = make(patience_s=0.5)
    server.failing = _AWAY
    second.declare(SearchRequest, "search.requests", answers=True)
    codec = Codec(second)
    assert not waits(codec, data)
    assert codec.decode(codec.encode(_REQUEST, Encoding.CONFLUENT), SearchRequest)[0] == _REQUEST
    third = make(patience_s=0.5)
    assert Codec(third).decode(data, SearchRequest)[0] == _REQUEST


@pytest.mark.parametrize("torn", [b"", b"\0\0\0", b'{"schema": "', b'{"schema": "{}"}', b"[]", b'{"schema": 5}'])
def test_a_torn_file_is_as_good_as_none(server: Registry, make: Make, tmp_path: Path, torn: bytes) -> None:
    first = make()
    first.declare(SearchRequest, "search.requests")
    data = Codec(first).encode(_REQUEST, Encoding.CONFLUENT)
    first.close()
    for path in tmp_path.glob("one/*/*.json"):
        path.write_bytes(torn)
    second = make()
    second.declare(SearchRequest, "search.requests")
    assert Codec(second).decode(data, SearchRequest)[0] == _REQUEST
    assert second.id_of(SearchRequest) == 1


def test_a_folder_that_cannot_be_written_costs_the_memory_only(server: Registry, make: Make, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("in the way")
    registry = make()
    registry.declare(SearchRequest, "search.requests")
    assert Codec(registry).encode(_REQUEST, Encoding.CONFLUENT)


def test_another_registry_at_the_same_address_is_noticed(server: Registry, make: Make) -> None:
    first = make()
    first.declare(Interaction, "interactions")
    assert first.id_of(Interaction) == 1
    first.close()
    server.schemas[:] = [_OLDER]
    second = make()
    second.declare(Interaction, "interactions")
    wait_until(lambda: second.id_of(Interaction) == 2, what="the new registry's id is known")
    assert Codec(second).decode(frame(1), SearchRequest)[0].query == "bag"


def test_an_address_that_is_none_is_said_without_what_is_secret_in_it(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="SCHEMA_REGISTRY_URL is no address") as caught:
        SchemaRegistry("http://user:s3cr3t@host:port", tmp_path)
    assert "s3cr3t" not in str(caught.value)


def _reads(codec: Codec, data: bytes) -> bool:
    try:
        codec.decode(data, SearchRequest)
    except Unreadable:
        return False
    return True


def test_the_settings_say_whether_there_is_a_registry(
    server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path))
    without = codec_for(Settings(), answers={Result: "search.results"})
    assert without.waits is None
    with pytest.raises(SchemaError):
        without.encode(Result(request_id="r1", status="ok", items=[]), Encoding.CONFLUENT)

    settings = Settings(schema_registry_url=server.url)
    codec = codec_for(settings, sent={SearchRequest: "search.requests"}, answers={Result: "search.results"})
    data = codec.encode(_REQUEST, Encoding.CONFLUENT)
    wait_until(lambda: len(server.asked) == 2)
    assert set(server.asked) == {f"/subjects/search.{kind}-value/versions" for kind in ("requests", "results")}
    before = len(server.asked)
    assert codec_for(settings).decode(data, SearchRequest) == (_REQUEST, Encoding.CONFLUENT)
    assert len(server.asked) == before, "it was kept in the state folder"


def test_who_has_no_registry_does_not_load_its_client() -> None:
    """Importing httpx takes 0.3 s at every start."""
    program = "import sys; from schemas.configured import codec_for as c; from standfast.core.settings import Settings"
    check = "c(Settings()); print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{program}; {check}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
