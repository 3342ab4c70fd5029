"""The calls of a Confluent-compatible registry, and which of its failures pass by themselves."""

from __future__ import annotations

import json

import httpx

from standfast.core.errors import SchemaError

_TIMEOUT = httpx.Timeout(3.0)
_CONTENT_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_PASSING = {408, 425, 429}
_NO_RIGHT = {401, 403}


class Unreachable(SchemaError):
    """The registry does not answer now; it may later."""


class RegistryCalls:
    """Asks once each. `url` may carry credentials, which never reach a message."""

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
            self.shown = str(parsed.copy_with(userinfo=b""))
            self._http = httpx.Client(base_url=parsed, timeout=_TIMEOUT)
        except (httpx.InvalidURL, ValueError):
            raise SchemaError("SCHEMA_REGISTRY_URL is no address; write it as http://host:8081") from None

    def schema(self, schema_id: int) -> str:
        """The text of an Avro schema. Raises Unreachable, or SchemaError if there is none under this id."""
        answer = self._asked("GET", f"/schemas/ids/{schema_id}")
        kind, text = answer.get("schemaType", "AVRO"), answer.get("schema")
        if kind != "AVRO":
            raise SchemaError(f"it is a {str(kind)[:40]} schema; send Avro or JSON text")
        if answer.get("references"):
            raise SchemaError("it refers to other schemas; register it with these written out in it")
        if not isinstance(text, str):
            raise SchemaError(f"the registry at {self.shown} answers without a schema")
        return text

    def register(self, subject: str, text: str) -> int:
        """The id of a schema, registered if it was not; found where it may only be looked up. Raises as `schema`."""
        body = {"schema": text}
        try:
            answer = self._asked("POST", f"/subjects/{subject}/versions", body)
        except Unreachable:
            raise
        except SchemaError as refusal:
            try:
                answer = self._asked("POST", f"/subjects/{subject}", body)
            except Unreachable:
                raise
            except SchemaError:
                raise refusal from None
        number = answer.get("id")
        if not isinstance(number, int):
            raise SchemaError(f"the registry at {self.shown} registers {subject} without telling its id")
        return number

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def _asked(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        try:
            answer = self._http.request(method, path, json=body, headers=_CONTENT_TYPE if body else None)
        except httpx.HTTPError as error:
            raise self._unreachable(type(error).__name__) from None
        fields = _object_in(answer.content)
        if answer.is_success and fields is not None:
            return fields
        why = f"{answer.status_code} {answer.text[:300]}"
        if _passes(answer.status_code, fields):
            raise self._unreachable(why)
        raise SchemaError(f"the schema registry at {self.shown} refused {method} {path}: {why}")

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(
            f"the schema registry at {self.shown} does not answer ({why}); start it, or unset SCHEMA_REGISTRY_URL"
        )


def _object_in(content: bytes) -> dict[str, object] | None:
    """The answer's fields; None for a proxy's page, which is no JSON."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _passes(status: int, fields: dict[str, object] | None) -> bool:
    """Whether to ask again. A 404 without the registry's own error code is a proxy's, which has lost it."""
    if status in _NO_RIGHT:
        return False
    return status < 400 or status >= 500 or status in _PASSING or "error_code" not in (fields or {})
