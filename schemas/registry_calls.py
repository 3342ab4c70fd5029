"""Calls the REST API of a Confluent-compatible registry, and tells which of its errors can be retried."""

from __future__ import annotations

import json

import httpx

from standfast.core.errors import SchemaError

_TIMEOUT = httpx.Timeout(3.0)  # seconds, for connecting and for each read and write
_CONTENT_TYPE = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_RETRIABLE = {408, 425, 429}
_DENIED = {401, 403}


class Unreachable(SchemaError):
    """The registry does not answer now, but a retry may succeed."""


class RegistryCalls:
    """Sends each request once. `url` may contain credentials; `self.url`, for messages, does not."""

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
            self.url = str(parsed.copy_with(userinfo=b""))
            self._http = httpx.Client(base_url=parsed, timeout=_TIMEOUT)
        except (httpx.InvalidURL, ValueError):
            raise SchemaError("SCHEMA_REGISTRY_URL is no address; write it as http://host:8081") from None

    def schema(self, schema_id: int) -> str:
        """The text of an Avro schema. Raises Unreachable, or SchemaError if there is none under this id."""
        answer = self._request("GET", f"/schemas/ids/{schema_id}")
        kind, text = answer.get("schemaType", "AVRO"), answer.get("schema")
        if kind != "AVRO":
            raise SchemaError(f"it is a {str(kind)[:40]} schema; send Avro or JSON text")
        if answer.get("references"):
            raise SchemaError("it refers to other schemas; register it with these written out in it")
        if not isinstance(text, str):
            raise SchemaError(f"the registry at {self.url} answers without a schema")
        return text

    def register(self, subject: str, text: str) -> int:
        """The id of a schema, which is registered if it is not yet, or looked up if registering is refused.

        Raises as `schema` does.
        """
        body = {"schema": text}
        try:
            answer = self._request("POST", f"/subjects/{subject}/versions", body)
        except Unreachable:
            raise
        except SchemaError as refusal:
            try:
                answer = self._request("POST", f"/subjects/{subject}", body)
            except Unreachable:
                raise
            except SchemaError:
                raise refusal from None
        schema_id = answer.get("id")
        if not isinstance(schema_id, int):
            raise SchemaError(f"the registry at {self.url} registers {subject} without telling its id")
        return schema_id

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
        try:
            answer = self._http.request(method, path, json=body, headers=_CONTENT_TYPE if body else None)
        except httpx.HTTPError as error:
            raise self._unreachable(type(error).__name__) from None
        fields = _json_object(answer.content)
        if answer.is_success and fields is not None:
            return fields
        reason = f"{answer.status_code} {answer.text[:300]}"
        if _is_retriable(answer.status_code, fields):
            raise self._unreachable(reason)
        raise SchemaError(f"the schema registry at {self.url} refused {method} {path}: {reason}")

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"the schema registry at {self.url} does not answer ({reason}); start it, or unset SCHEMA_REGISTRY_URL"
        )


def _json_object(content: bytes) -> dict[str, object] | None:
    """The answer's fields; None if it is not a JSON object, such as a proxy's error page."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _is_retriable(status: int, fields: dict[str, object] | None) -> bool:
    """Whether to retry. A 404 without `error_code` is a proxy's, which cannot reach the registry."""
    if status in _DENIED:
        return False
    return status < 400 or status >= 500 or status in _RETRIABLE or "error_code" not in (fields or {})
