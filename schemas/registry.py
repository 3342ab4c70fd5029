"""Schema ids from a Confluent-compatible registry, cached.

Subjects are `<topic>-value`. Our own schemas are registered when a role starts, so a registry that is down then is one
clear error; afterwards everything written, and every schema seen once, comes from memory.
"""

from __future__ import annotations

import json
import threading

import httpx

from schemas import avro_schemas
from schemas.records import Record
from standfast.errors import SchemaError, Unreadable

_TIMEOUT = httpx.Timeout(5.0)
_CONTENT_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class SchemaRegistry:
    """A registry's ids. Thread-safe; `url` may carry credentials, which never reach a message."""

    def __init__(self, url: str) -> None:
        parsed = httpx.URL(url)
        self.shown = str(parsed.copy_with(userinfo=b""))
        self._http = httpx.Client(base_url=parsed, timeout=_TIMEOUT)
        self._schemas: dict[int, avro_schemas.ParsedSchema] = {}
        self._ids: dict[type[Record], int] = {}
        self._lock = threading.Lock()

    def register(self, kind: type[Record], topic: str) -> None:
        """Registers the current schema of a kind under `<topic>-value`; raises SchemaError if that is refused."""
        schema = avro_schemas.current(kind)
        body = {"schema": json.dumps(json.loads(schema.text))}
        answer = self._asked("POST", f"/subjects/{topic}-value/versions", body)
        self._ids[kind] = int(answer["id"])  # type: ignore[call-overload]
        self._schemas[self._ids[kind]] = schema.parsed

    def id_of(self, kind: type[Record]) -> int:
        """The id under which this kind is written; raises SchemaError unless `register` was called for it."""
        try:
            return self._ids[kind]
        except KeyError:
            raise SchemaError(f"{kind.avro_name} was never registered with {self.shown}") from None

    def schema(self, schema_id: int) -> avro_schemas.ParsedSchema:
        """The writer's schema; blocks for at most 5 s the first time an id is seen. Raises Unreadable."""
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        with self._lock:
            try:
                answer = self._asked("GET", f"/schemas/ids/{schema_id}")
                parsed = avro_schemas.parse(str(answer["schema"]))
            except SchemaError as error:
                raise Unreadable(f"schema id {schema_id} of the Confluent frame: {error}") from None
            self._schemas[schema_id] = parsed
            return parsed

    def _asked(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        try:
            answer = self._http.request(method, path, json=body, headers=_CONTENT_TYPE if body else None)
            answer.raise_for_status()
            fields: dict[str, object] = answer.json()
        except httpx.HTTPStatusError as error:
            raise SchemaError(
                f"the schema registry at {self.shown} refused {method} {path}: {error.response.status_code} "
                f"{error.response.text[:300]}"
            ) from None
        except (httpx.HTTPError, ValueError) as error:
            raise SchemaError(
                f"the schema registry at {self.shown} does not answer ({type(error).__name__}); start it, or unset "
                "SCHEMA_REGISTRY_URL"
            ) from None
        return fields
