"""The Confluent frame, against a small schema registry on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemas.codec import CONFLUENT, Codec, Encoding
from schemas.records import Interaction, SearchRequest
from schemas.registry import SchemaRegistry
from standfast.errors import SchemaError, Unreadable

_REQUEST = SearchRequest(query="lunch bag", request_id="r1", k=3)


class Registry(ThreadingHTTPServer):
    """Remembers schemas by id; `asked` are the paths it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.schemas: list[str] = []
        self.asked: list[str] = []
        self.refuse = False

    @property
    def url(self) -> str:
        return f"http://user:s3cr3t@127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """The two calls of the registry's interface that are used."""

    server: Registry

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        if self.server.refuse:
            self._answer(409, {"error_code": 409, "message": "incompatible"})
            return
        if body["schema"] not in self.server.schemas:
            self.server.schemas.append(body["schema"])
        self._answer(200, {"id": self.server.schemas.index(body["schema"]) + 1})

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        number = int(self.path.rpartition("/")[2])
        if number > len(self.server.schemas):
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"schema": self.server.schemas[number - 1]})

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, status: int, fields: dict[str, object]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Registry]:
    with Registry() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(5)


@pytest.fixture
def registry(server: Registry) -> Iterator[SchemaRegistry]:
    made = SchemaRegistry(server.url)
    yield made
    made._http.close()


def test_subjects_are_the_topics_values(server: Registry, registry: SchemaRegistry) -> None:
    registry.register(SearchRequest, "shop.search.requests")
    assert server.asked == ["/subjects/shop.search.requests-value/versions"]


def test_a_frame_carries_the_id_and_is_read_by_another_process(server: Registry, registry: SchemaRegistry) -> None:
    registry.register(Interaction, "interactions")
    registry.register(SearchRequest, "search.requests")
    data = Codec(registry).encode(_REQUEST, Encoding.CONFLUENT)
    assert data[:5] == CONFLUENT + (2).to_bytes(4, "big")
    other = SchemaRegistry(server.url)
    for _ in range(3):
        assert Codec(other).decode(data, SearchRequest) == (_REQUEST, Encoding.CONFLUENT)
    assert server.asked.count("/schemas/ids/2") == 1, "a schema is asked for once, then cached"
    other._http.close()


def test_an_older_writers_schema_is_read_with_the_defaults_of_ours(server: Registry, registry: SchemaRegistry) -> None:
    server.schemas.append(
        json.dumps({"type": "record", "name": "SearchRequest", "namespace": "standfast",
                    "fields": [{"name": "query", "type": "string"}]})
    )  # fmt: skip
    data = CONFLUENT + (1).to_bytes(4, "big") + b"\x06bag"
    assert Codec(registry).decode(data, SearchRequest)[0] == SearchRequest(query="bag")


def test_an_unknown_id_makes_one_record_unreadable(registry: SchemaRegistry) -> None:
    with pytest.raises(Unreadable, match=r"schema id 77 .*404"):
        Codec(registry).decode(CONFLUENT + (77).to_bytes(4, "big") + b"\x06bag", SearchRequest)


def test_a_schema_that_never_was_registered_is_not_written(registry: SchemaRegistry) -> None:
    with pytest.raises(SchemaError, match="search_request was never registered"):
        Codec(registry).encode(_REQUEST, Encoding.CONFLUENT)


def test_a_registry_that_is_down_at_start_is_one_clear_error() -> None:
    registry = SchemaRegistry("http://user:s3cr3t@127.0.0.1:1")
    with pytest.raises(SchemaError, match=r"127\.0\.0\.1:1 does not answer .*SCHEMA_REGISTRY_URL") as caught:
        registry.register(SearchRequest, "search.requests")
    assert "s3cr3t" not in str(caught.value)
    registry._http.close()


def test_a_refused_schema_says_why_without_the_password(server: Registry, registry: SchemaRegistry) -> None:
    server.refuse = True
    with pytest.raises(SchemaError, match=r"409 .*incompatible") as caught:
        registry.register(SearchRequest, "search.requests")
    assert "s3cr3t" not in str(caught.value)


def test_a_registry_that_goes_down_later_is_not_missed(server: Registry, registry: SchemaRegistry) -> None:
    registry.register(SearchRequest, "search.requests")
    codec = Codec(registry)
    server.shutdown()
    server.server_close()
    assert codec.decode(codec.encode(_REQUEST, Encoding.CONFLUENT), SearchRequest)[0] == _REQUEST
    with pytest.raises(Unreadable):
        codec.decode(CONFLUENT + (9).to_bytes(4, "big") + b"x", SearchRequest)
