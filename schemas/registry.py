"""Schemas and ids from a Confluent-compatible registry, which a background thread asks for.

Schemas and ids that the registry once returned are in memory and on disk, so requests with them never wait for it. Any
other is asked for until the registry answers. A caller that needs it waits, at most `patience_s` in one outage; after
that, callers are refused at once, while the thread goes on asking. Subjects are `<topic>-value`.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import structlog

from schemas import avro_schemas
from schemas.known_schemas import KnownSchemas
from schemas.records import Record
from schemas.registry_calls import RegistryCalls, Unreachable
from standfast.core.backoff import wait_s
from standfast.core.errors import SchemaError, Unreadable

_log = structlog.get_logger()
PATIENCE_S = 20.0  # bounds how long JSON requests wait behind a frame in their partition; a registry restarts in 10 s
_RETRY_REFUSED_S = 10.0  # a refused id is asked for again after this: it may have been registered meanwhile
_MAX_LOOKUPS = 10_000  # bounds the ids remembered as refused or asked for: callers may send any number of ids
_WAKE_S = 0.05  # how often a waiting caller looks again

Lookup = int | type[Record]  # a schema by its id, or the id under which a kind of record is written


class SchemaRegistry:
    """A registry's schemas and ids. Thread-safe.

    Args:
        url: may carry credentials, which never reach a message.
        folder: for the schemas and ids that must be known while the registry is away.
    """

    def __init__(self, url: str, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self._calls = RegistryCalls(url)
        self._disk = KnownSchemas(folder, self._calls.url)
        self._patience_s = patience_s
        self._schemas: dict[int, avro_schemas.ParsedSchema] = {}
        self._subjects: dict[type[Record], str] = {}
        self._answer_kinds: set[type[Record]] = set()
        self._ids: dict[type[Record], int] = {}
        self._requested_at: dict[Lookup, float] = {}
        self._refused: dict[Lookup, tuple[str, float]] = {}
        self._unreachable_since: float | None = None
        self._unreachable_reason = ""
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def declare(self, kind: type[Record], topic: str, *, answers: bool = False) -> None:
        """Declares that records of this kind are written to the topic; the thread registers the schema. Does not wait.

        `answers`: they answer requests; a request is not `ready` before the id for its answer is known.
        """
        schema = avro_schemas.current(kind)
        self._subjects[kind] = f"{topic}-value"
        if answers:
            self._answer_kinds.add(kind)
        known = self._disk.id_of(self._subjects[kind], _text(kind))
        if known is not None:
            self._ids[kind], self._schemas[known] = known, schema.parsed
        self._request(kind)  # a known id too: another registry may answer at this URL by now

    def ready(self, schema_id: int) -> bool:
        """Whether `schema` returns or raises at once; if not, the registry is being asked."""
        if schema_id in self._schemas and self._answer_kinds <= self._ids.keys():
            return True
        return all(self._settled(lookup) for lookup in self._needs(schema_id))

    def schema(self, schema_id: int) -> avro_schemas.ParsedSchema:
        """The writer's schema. Waits until `ready`; raises Unreadable if it, or an answer's id, is not available."""
        if not self.ready(schema_id):
            self._wait(self._needs(schema_id))
        for lookup in self._needs(schema_id):
            if (reason := self._missing(lookup)) is not None:
                problem = "of the Confluent frame" if lookup == schema_id else "is read, its answer cannot be written"
                raise Unreadable(f"schema id {schema_id} {problem}: {reason}")
        return self._schemas[schema_id]

    def id_of(self, kind: type[Record]) -> int:
        """The id under which this kind is written. Waits as `schema` does; raises SchemaError if none is available."""
        if kind in self._ids:
            return self._ids[kind]
        if kind not in self._subjects:
            raise SchemaError(f"{kind.avro_name} was never registered with {self._calls.url}")
        self._wait([kind])
        if (reason := self._missing(kind)) is not None:
            raise SchemaError(reason)
        return self._ids[kind]

    def close(self) -> None:
        """Ends the thread and closes the connections."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(5)
        self._calls.close()

    # lookups -------------------------------------------------------------------------------------------------------

    def _needs(self, schema_id: int) -> list[Lookup]:
        return [*self._answer_kinds, schema_id]

    def _known(self, lookup: Lookup) -> bool:
        return lookup in self._schemas if isinstance(lookup, int) else lookup in self._ids

    def _settled(self, lookup: Lookup) -> bool:
        """Whether a caller need not wait for it: it is known, refused or timed out. If not, the thread asks for it."""
        if self._known(lookup) or (isinstance(lookup, int) and self._on_disk(lookup)):
            return True
        return self._refusal(lookup) is not None or self._request(lookup)

    def _on_disk(self, schema_id: int) -> bool:
        text = self._disk.schema(schema_id)
        try:
            if text is None:
                return False
            self._schemas[schema_id] = avro_schemas.parse(text)
        except Exception:  # noqa: BLE001 - fastavro raises many types; a schema damaged on disk is asked for again
            return False
        return True

    def _refusal(self, lookup: Lookup) -> str | None:
        reason, refused_at = self._refused.get(lookup, ("", 0.0))
        return reason if reason and time.monotonic() - refused_at < _RETRY_REFUSED_S else None

    def _request(self, lookup: Lookup) -> bool:
        """Queues it for the thread; True if its callers have waited for `patience_s`."""
        with self._lock:
            if len(self._requested_at) < _MAX_LOOKUPS:
                self._requested_at.setdefault(lookup, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
                self._thread.start()
            self._lock.notify_all()
            return self._has_timed_out(lookup)

    def _has_timed_out(self, lookup: Lookup) -> bool:
        """Whether callers have waited for `patience_s` for it, or for any lookup in the same outage."""
        now = time.monotonic()
        waited_s = now - self._requested_at.get(lookup, 0.0 if len(self._requested_at) >= _MAX_LOOKUPS else now)
        outage_s = now - (self._unreachable_since or now)
        return max(waited_s, outage_s) > self._patience_s

    def _missing(self, lookup: Lookup) -> str | None:
        if self._known(lookup):
            return None
        no_answer = f"the registry at {self._calls.url} has not answered yet"
        return self._refusal(lookup) or self._unreachable_reason or no_answer

    def _wait(self, lookups: list[Lookup]) -> None:
        deadline = time.monotonic() + self._patience_s + _WAKE_S
        while not all(self._settled(lookup) for lookup in lookups) and time.monotonic() < deadline:
            with self._lock:
                self._lock.wait(_WAKE_S)

    # the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._requested_at or self._closing)
                if self._closing:
                    return
                lookup = next(iter(self._requested_at))
            failures = 0 if self._ask(lookup) else failures + 1
            if failures:
                with self._lock:
                    self._lock.wait_for(lambda: self._closing, wait_s(failures))

    def _ask(self, lookup: Lookup) -> bool:
        """Whether the registry answered, a refusal included."""
        try:
            if isinstance(lookup, int):
                self._store_schema(lookup, self._calls.schema(lookup))
            else:
                self._store_id(lookup, self._calls.register(self._subjects[lookup], _text(lookup)))
        except Unreachable as error:
            self._note_unreachable(lookup, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - fastavro raises many types, and without this thread no caller is answered
            reason = str(error) if isinstance(error, SchemaError) else f"{type(error).__name__}: {error}"
            self._note_refusal(lookup, reason)
        self._note_answer(lookup)
        return True

    def _store_schema(self, schema_id: int, text: str) -> None:
        self._schemas[schema_id] = avro_schemas.parse(text)
        self._disk.keep_schema(schema_id, text)

    def _store_id(self, kind: type[Record], schema_id: int) -> None:
        if self._ids.get(kind, schema_id) != schema_id:
            _log.warning("the schema registry was made anew; what the old one said is forgotten", was=self._ids[kind])
            self._disk.forget()
            self._schemas.clear()
        self._ids[kind], self._schemas[schema_id] = schema_id, avro_schemas.current(kind).parsed
        self._disk.keep_id(self._subjects[kind], _text(kind), schema_id)
        self._disk.keep_schema(schema_id, _text(kind))

    def _note_unreachable(self, lookup: Lookup, reason: str) -> None:
        with self._lock:
            if self._unreachable_since is None:
                _log.warning("the schema registry does not answer; what needs it waits", error=reason)
                self._unreachable_since = time.monotonic()
            self._unreachable_reason = reason
            # To the end of the queue: the registry may fail to answer for this one only.
            self._requested_at[lookup] = self._requested_at.pop(lookup)

    def _note_refusal(self, lookup: Lookup, reason: str) -> None:
        if not isinstance(lookup, int):
            _log.error("the schema registry refuses a schema of ours", subject=self._subjects[lookup], error=reason)
        with self._lock:
            if len(self._refused) >= _MAX_LOOKUPS:
                self._refused.clear()
            self._refused[lookup] = (reason, time.monotonic())

    def _note_answer(self, lookup: Lookup) -> None:
        with self._lock:
            if self._unreachable_since is not None:
                outage_s = time.monotonic() - self._unreachable_since
                _log.info("the schema registry answers again", after_s=round(outage_s, 1))
            self._unreachable_since, self._unreachable_reason = None, ""
            self._requested_at.pop(lookup, None)
            self._lock.notify_all()


def _text(kind: type[Record]) -> str:
    return json.dumps(json.loads(avro_schemas.current(kind).text))
