"""Schema ids from a Confluent-compatible registry, asked for by a thread of their own.

Nobody who serves waits for the registry: what it once said is in memory and on disk, and what is not known yet is asked
for again until it answers. Who needs that waits, at most `patience_s` in one outage; after it what comes is refused at
once, and asked for all the same. Subjects are `<topic>-value`.
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
PATIENCE_S = 20.0  # bounds what JSON text waits behind a frame in its partition; a registry's restart takes 10 s
_AGAIN_S = 10.0  # what the registry refused is asked for again after this: it may have been registered meanwhile
_MOST = 10_000  # ids remembered as refused or asked for: they are the callers' numbers, without end
_LOOK_S = 0.05

Want = int | type[Record]  # a schema by its id, or the id under which a kind of record is written


class SchemaRegistry:
    """A registry's ids. Thread-safe.

    Args:
        url: may carry credentials, which never reach a message.
        kept_in: the folder for what is to be known without the registry.
    """

    def __init__(self, url: str, kept_in: Path, patience_s: float = PATIENCE_S) -> None:
        self._calls = RegistryCalls(url)
        self._disk = KnownSchemas(kept_in, self._calls.shown)
        self._patience_s = patience_s
        self._schemas: dict[int, avro_schemas.ParsedSchema] = {}
        self._subjects: dict[type[Record], str] = {}
        self._answers: set[type[Record]] = set()
        self._ids: dict[type[Record], int] = {}
        self._wanted: dict[Want, float] = {}
        self._refused: dict[Want, tuple[str, float]] = {}
        self._silent_since: float | None = None
        self._silence = ""
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def declare(self, kind: type[Record], topic: str, *, answers: bool = False) -> None:
        """Says that such records are written to the topic; returns at once. The registry is told when it answers.

        `answers`: they answer what is read, which is not ready before they can be written.
        """
        schema = avro_schemas.current(kind)
        self._subjects[kind] = f"{topic}-value"
        if answers:
            self._answers.add(kind)
        known = self._disk.id_of(self._subjects[kind], _text(kind))
        if known is not None:
            self._ids[kind], self._schemas[known] = known, schema.parsed
        self._want(kind)  # what is known is asked for too: it may be another registry by now

    def ready(self, schema_id: int) -> bool:
        """Whether `schema` returns or raises at once; if not, the registry is being asked."""
        if schema_id in self._schemas and self._answers <= self._ids.keys():
            return True
        return all(self._settled(want) for want in self._needs(schema_id))

    def schema(self, schema_id: int) -> avro_schemas.ParsedSchema:
        """The writer's schema. Waits until `ready`; raises Unreadable if it or an id of ours is not to be had."""
        if not self.ready(schema_id):
            self._wait(self._needs(schema_id))
        for want in self._needs(schema_id):
            if (reason := self._missing(want)) is not None:
                what = "of the Confluent frame" if want == schema_id else "is read, its answer cannot be written"
                raise Unreadable(f"schema id {schema_id} {what}: {reason}")
        return self._schemas[schema_id]

    def id_of(self, kind: type[Record]) -> int:
        """The id under which this kind is written; waits as `schema` does. Raises SchemaError."""
        if kind in self._ids:
            return self._ids[kind]
        if kind not in self._subjects:
            raise SchemaError(f"{kind.avro_name} was never registered with {self._calls.shown}")
        self._wait([kind])
        if (reason := self._missing(kind)) is not None:
            raise SchemaError(reason)
        return self._ids[kind]

    def close(self) -> None:
        """Ends its thread and its connections."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(5)
        self._calls.close()

    # what is asked for ----------------------------------------------------------------------------------------------

    def _needs(self, schema_id: int) -> list[Want]:
        return [*self._answers, schema_id]

    def _known(self, want: Want) -> bool:
        return want in self._schemas if isinstance(want, int) else want in self._ids

    def _settled(self, want: Want) -> bool:
        """Whether there is nothing to wait for; else it is asked for."""
        if self._known(want) or (isinstance(want, int) and self._on_disk(want)):
            return True
        return self._refusal(want) is not None or self._want(want)

    def _on_disk(self, schema_id: int) -> bool:
        text = self._disk.schema(schema_id)
        try:
            if text is None:
                return False
            self._schemas[schema_id] = avro_schemas.parse(text)
        except Exception:  # noqa: BLE001 - fastavro raises many types; what was kept wrongly is asked for again
            return False
        return True

    def _refusal(self, want: Want) -> str | None:
        reason, at = self._refused.get(want, ("", 0.0))
        return reason if reason and time.monotonic() - at < _AGAIN_S else None

    def _want(self, want: Want) -> bool:
        """Has the thread ask for it; True if it has been waited for long enough."""
        with self._lock:
            if len(self._wanted) < _MOST:
                self._wanted.setdefault(want, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="registry", daemon=True)
                self._thread.start()
            self._lock.notify_all()
            return self._given_up(want)

    def _given_up(self, want: Want) -> bool:
        """Waited for too long, it or whatever was asked for before it in the same outage."""
        now = time.monotonic()
        waited = now - self._wanted.get(want, 0.0 if len(self._wanted) >= _MOST else now)
        silent = now - (self._silent_since or now)
        return max(waited, silent) > self._patience_s

    def _missing(self, want: Want) -> str | None:
        if self._known(want):
            return None
        return self._refusal(want) or self._silence or f"the registry at {self._calls.shown} has not answered yet"

    def _wait(self, wants: list[Want]) -> None:
        deadline = time.monotonic() + self._patience_s + _LOOK_S
        while not all(self._settled(want) for want in wants) and time.monotonic() < deadline:
            with self._lock:
                self._lock.wait(_LOOK_S)

    # the thread -----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        failures = 0
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._wanted or self._closing)
                if self._closing:
                    return
                want = next(iter(self._wanted))
            failures = 0 if self._asked(want) else failures + 1
            if failures:
                with self._lock:
                    self._lock.wait_for(lambda: self._closing, wait_s(failures))

    def _asked(self, want: Want) -> bool:
        """Whether the registry answered, be it with a refusal."""
        try:
            if isinstance(want, int):
                self._learned_schema(want, self._calls.schema(want))
            else:
                self._learned_id(want, self._calls.register(self._subjects[want], _text(want)))
        except Unreachable as error:
            self._silent(want, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - fastavro raises many types, and without this thread nobody is answered
            self._refuse(want, str(error) if isinstance(error, SchemaError) else f"{type(error).__name__}: {error}")
        self._answered(want)
        return True

    def _learned_schema(self, schema_id: int, text: str) -> None:
        self._schemas[schema_id] = avro_schemas.parse(text)
        self._disk.keep_schema(schema_id, text)

    def _learned_id(self, kind: type[Record], schema_id: int) -> None:
        if self._ids.get(kind, schema_id) != schema_id:
            _log.warning("the schema registry was made anew; what the old one said is forgotten", was=self._ids[kind])
            self._disk.forget()
            self._schemas.clear()
        self._ids[kind], self._schemas[schema_id] = schema_id, avro_schemas.current(kind).parsed
        self._disk.keep_id(self._subjects[kind], _text(kind), schema_id)
        self._disk.keep_schema(schema_id, _text(kind))

    def _silent(self, want: Want, reason: str) -> None:
        with self._lock:
            if self._silent_since is None:
                _log.warning("the schema registry does not answer; what needs it waits", error=reason)
                self._silent_since = time.monotonic()
            self._silence = reason
            self._wanted[want] = self._wanted.pop(want)  # behind the others: it may be this one that it is silent about

    def _refuse(self, want: Want, reason: str) -> None:
        if not isinstance(want, int):
            _log.error("the schema registry refuses a schema of ours", subject=self._subjects[want], error=reason)
        with self._lock:
            if len(self._refused) >= _MOST:
                self._refused.clear()
            self._refused[want] = (reason, time.monotonic())

    def _answered(self, want: Want) -> None:
        with self._lock:
            if self._silent_since is not None:
                _log.info("the schema registry answers again", after_s=round(time.monotonic() - self._silent_since, 1))
            self._silent_since, self._silence = None, ""
            self._wanted.pop(want, None)
            self._lock.notify_all()


def _text(kind: type[Record]) -> str:
    return json.dumps(json.loads(avro_schemas.current(kind).text))
