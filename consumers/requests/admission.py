"""From a raw record to what is to be done with it: compute it, answer it as it stands, or dead-letter it."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec import Struct

from consumers.requests.histories import NOTHING, Known
from consumers.service import Service
from models.base import Query
from schemas.codec import Codec, Encoding, Malformed
from schemas.records import Record, ServiceRequest, Status
from schemas.times import record_ms
from standfast.core.consumed import Consumed
from standfast.core.errors import StandfastError, Unreadable
from standfast.core.sections import ServiceSettings
from standfast.core.services import resolved, spec_of
from standfast.core.settings import Settings

MakeQuery = Callable[[ServiceRequest, ServiceSettings, tuple[str, ...]], Query | str]
DEADLINE_HEADER = "deadline-ms"
_SHED: tuple[Status, str] = (
    "overloaded",
    "newer requests are preferred while more come than can be computed; send it again later",
)
# What is larger than our producers can carry is not even copied: compressed, 400 MiB fit into a record of 400 KiB.
_LARGEST = 67_108_864
_DEADLINE_DIGITS = 18  # a longer number is no time, and one of 400 digits cannot be subtracted from one


class Origin(Struct, frozen=True, gc=False):
    """Where a request came from, and so where its answer and its blame go. Times are epoch milliseconds.

    `oversize`: how many bytes its value has, if those are too many to be read.

    A struct, as all that is made for every request: 0.1 µs each, against 1.2 µs as a dataclass.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    headers_readable: bool = True
    oversize: int = 0

    def header(self, name: str) -> bytes | None:
        """The last header of that name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class Admitted(Struct, frozen=True, gc=False):
    """A request to compute."""

    origin: Origin
    encoding: Encoding
    request_id: str
    query: Query
    degraded: bool = False


class Refused(Struct, frozen=True, gc=False):
    """A request that is answered without being computed."""

    origin: Origin
    encoding: Encoding
    request_id: str
    status: Status
    reason: str


class DeadLetter(Struct, frozen=True, gc=False):
    """A record that cannot be read, or must not be tried again."""

    origin: Origin
    reason: str
    kind: str


Decision = Admitted | Refused | DeadLetter
R = TypeVar("R", bound=Record)


class KnownUsers(Protocol):
    """Where it is known what users had."""

    def known(self, user_id: str) -> Known:
        """The user's item ids, oldest first, and whether they are all; returns at once."""


class Admission:
    """Decides on one raw record after the other; `histories` know what users had, where that matters."""

    def __init__(self, service: Service, settings: Settings, codec: Codec, histories: KnownUsers | None = None) -> None:
        self._service = service
        self._section = settings.service(service.name)
        self._make_query: MakeQuery = resolved(spec_of(service.name).query)
        self._codec = codec
        self.waits = codec.waits
        self._histories = histories

    def decide(self, origin: Origin, ahead_ms: float = 0.0, *, shed: bool = False) -> Decision:
        """What to do with the record; never raises for anything a caller can send.

        Args:
            ahead_ms: how long its batch will take, where more than a batch is waiting.
            shed: refuse it, to make room for newer ones.
        """
        try:
            request, encoding = read(origin, self._codec, self._service.kind)
        except Unreadable as error:
            return DeadLetter(origin, str(error), "unreadable")
        except Malformed as error:
            request_id = error.text("request_id") or default_id(origin)
            return Refused(origin, error.encoding, request_id, "invalid", str(error))
        request_id = request.request_id or default_id(origin)
        refusal = _SHED if shed else self.late(origin, ahead_ms)
        if refusal is not None:
            return Refused(origin, encoding, request_id, *refusal)
        known = self._histories.known(request.user_id) if self._histories and request.user_id else NOTHING
        query = self._query(request, known.items)
        if isinstance(query, str):
            return Refused(origin, encoding, request_id, "invalid", query)
        return Admitted(origin, encoding, request_id, query, not known.complete)

    def late(self, origin: Origin, ahead_ms: float) -> tuple[Status, str] | None:
        """The refusal of a request that is too old, without looking into it: status and reason."""
        if origin.headers and (raw := origin.header(DEADLINE_HEADER)) is not None:
            return _past(raw, ahead_ms)
        longest = self._service.max_wait_ms
        if not longest or origin.topic == self._service.bulk_requests:
            return None
        age = time.time() * 1000 - origin.timestamp_ms
        reason = f"it waited {age:.0f} ms, and {self._service.name}.max_wait_ms is {longest}; send it again later"
        return ("overloaded", reason) if age > longest else None

    def allowance_ms(self, origin: Origin) -> float | None:
        """How long the request may take from its timestamp on; None: as long as it likes, or it does not say well."""
        if origin.headers and (raw := origin.header(DEADLINE_HEADER)) is not None:
            deadline = _deadline(raw)
            return None if deadline is None else max(0.0, deadline - origin.timestamp_ms)
        return self._service.max_wait_ms or None

    def _query(self, request: ServiceRequest, known: tuple[str, ...]) -> Query | str:
        """The model's query, or why there is none."""
        if not 1 <= request.k <= self._service.max_k:
            return f"k is {request.k}; it must be from 1 to {self._service.max_k}"
        return self._make_query(request, self._section, known)


# Of a name that is not UTF-8 confluent-kafka returns a value *and* leaves an exception behind. Called this way Python
# finds it at once; called plainly, code that has run often meets it somewhere later.
_headers = operator.methodcaller("headers")


def origin_of(message: Consumed) -> Origin:
    """The origin of a consumed message."""
    try:
        headers = list(_headers(message) or ())
    except (SystemError, UnicodeError):  # what confluent-kafka makes of a name that is not UTF-8
        headers = None
    size = len(message)
    return Origin(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=record_ms(message.timestamp()[1]),
        key=message.key(),
        value=message.value() if size <= _LARGEST else None,
        headers=headers or [],
        headers_readable=headers is not None,
        oversize=size if size > _LARGEST else 0,
    )


def read(origin: Origin, codec: Codec, kind: type[R]) -> tuple[R, Encoding]:
    """The record and its encoding; whatever is in it, raises nothing but Unreadable and others of our own errors."""
    if not origin.headers_readable or origin.oversize:
        raise Unreadable(_not_read(origin))
    try:
        return codec.decode(origin.value, kind)
    except StandfastError:
        raise
    except Exception as error:  # noqa: BLE001 - what a registry or a library gives instead of what it should
        raise Unreadable(f"it cannot be decoded ({type(error).__name__}: {error!s:.200})") from None


def place_of(message: Consumed) -> Origin:
    """As much of its origin as tells where it is."""
    return Origin(message.topic(), message.partition(), message.offset(), 0, None, None, [])


def _not_read(origin: Origin) -> str:
    if origin.oversize:
        return f"it has {origin.oversize} bytes; at most {_LARGEST} are read"
    return "a header's name is not UTF-8; send it again without its headers"


def default_id(origin: Origin) -> str:
    """The id of a request that brought none: the same on every retry."""
    return f"{origin.topic}-{origin.partition}-{origin.offset}"


def _deadline(raw: bytes) -> int | None:
    """Epoch milliseconds, None if the header is no number."""
    try:
        return int(raw) if len(raw) <= _DEADLINE_DIGITS else None
    except ValueError:
        return None


def _past(raw: bytes, ahead_ms: float) -> tuple[Status, str] | None:
    """The refusal of a request whose deadline has passed, will pass while it is computed, or cannot be read."""
    deadline = _deadline(raw)
    if deadline is None:
        return "invalid", f"the header {DEADLINE_HEADER} is {raw[:40]!r}; it must be epoch milliseconds"
    over = time.time() * 1000 - deadline
    if over > 0:
        return "deadline_exceeded", f"the deadline passed {over:.0f} ms before the request was read"
    if over + ahead_ms > 0:
        return "deadline_exceeded", f"its batch takes {ahead_ms:.0f} ms, and the deadline is in {-over:.0f} ms"
    return None
