"""From a raw record to a decision: compute it, refuse it, or dead-letter it."""

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
# Larger values than our producers can send (64 MiB) are not even copied: compressed, 400 MiB fit into 400 KiB.
_LARGEST = 67_108_864
_DEADLINE_DIGITS = 18  # longer numbers are no times, and one of 400 digits cannot be subtracted from a float


class Origin(Struct, frozen=True, gc=False):
    """A consumed request record, to which its answer or dead letter refers. Times are epoch milliseconds.

    `oversize`: the size of its value in bytes if that is too large to be read, else 0.

    A struct, like all objects that are made for every request: 0.1 µs each, against 1.2 µs as a dataclass.
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
    """A request to compute; `degraded` if not all items that its user had are known."""

    origin: Origin
    encoding: Encoding
    request_id: str
    query: Query
    degraded: bool = False
    user_id: str | None = None


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
    """Looks up the items that users interacted with."""

    def known(self, user_id: str) -> Known:
        """The user's item ids, oldest first, and whether these are all; returns at once."""


class Admission:
    """Decides on one raw record after the other.

    Args:
        histories: for services whose model needs them.
        refusal: why the model cannot answer a query, empty if it can; None for a model that can answer any.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        codec: Codec,
        histories: KnownUsers | None = None,
        refusal: Callable[[Query], str] | None = None,
    ) -> None:
        self._service = service
        self._section = settings.service(service.name)
        self._make_query: MakeQuery = resolved(spec_of(service.name).query)
        self._codec = codec
        self.waits = codec.waits
        self._histories = histories
        self._refusal = refusal

    def decide(self, origin: Origin, ahead_ms: float = 0.0, *, shed: bool = False) -> Decision:
        """What to do with the record; never raises for anything a caller can send.

        Args:
            ahead_ms: how long its batch will take, if more than a batch is waiting, else 0.
            shed: refuse the record, to make room for newer ones.
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
        if self._refusal is not None and (reason := self._refusal(query)):
            return Refused(origin, encoding, request_id, "invalid", reason)
        return Admitted(origin, encoding, request_id, query, not known.complete, request.user_id)

    def late(self, origin: Origin, ahead_ms: float) -> tuple[Status, str] | None:
        """Status and reason with which a request that is too late is refused, from its headers and timestamp only.

        None: it is in time.
        """
        if origin.headers and (raw := origin.header(DEADLINE_HEADER)) is not None:
            return _past(raw, ahead_ms)
        longest = self._service.max_wait_ms
        if not longest or origin.topic == self._service.bulk_requests:
            return None
        age = time.time() * 1000 - origin.timestamp_ms
        reason = f"it waited {age:.0f} ms, and {self._service.name}.max_wait_ms is {longest}; send it again later"
        return ("overloaded", reason) if age > longest else None

    def allowance_ms(self, origin: Origin) -> float | None:
        """How long the request may take from its timestamp on; None: no limit, or an unreadable one."""
        if origin.headers and (raw := origin.header(DEADLINE_HEADER)) is not None:
            deadline = _deadline(raw)
            return None if deadline is None else max(0.0, deadline - origin.timestamp_ms)
        return self._service.max_wait_ms or None

    def _query(self, request: ServiceRequest, known: tuple[str, ...]) -> Query | str:
        """The model's query, or why there is none."""
        if not 1 <= request.k <= self._service.max_k:
            return f"k is {request.k}; it must be from 1 to {self._service.max_k}"
        return self._make_query(request, self._section, known)


# For a header name that is not UTF-8 confluent-kafka returns a value *and* leaves an exception set. Called through
# `methodcaller` that is raised at once (SystemError); a plain call, once the code has run often, raises it somewhere
# later.
_headers = operator.methodcaller("headers")


def headers_of(message: Consumed) -> list[tuple[str, bytes | None]] | None:
    """The record's headers, None if a header's name is not UTF-8."""
    try:
        return list(_headers(message) or ())
    except (SystemError, UnicodeError):  # from confluent-kafka
        return None


def origin_of(message: Consumed) -> Origin:
    """The origin of a consumed message."""
    headers = headers_of(message)
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
    """The record and its encoding; raises Unreadable, Malformed or another StandfastError, whatever the bytes are."""
    if not origin.headers_readable or origin.oversize:
        raise Unreadable(_not_read(origin))
    try:
        return codec.decode(origin.value, kind)
    except StandfastError:
        raise
    except Exception as error:  # noqa: BLE001 - of a registry or a library, for bytes that it did not expect
        raise Unreadable(f"it cannot be decoded ({type(error).__name__}: {error!s:.200})") from None


def origin_without_value(message: Consumed) -> Origin:
    """Topic, partition and offset of a consumed message, without copying its value."""
    return Origin(message.topic(), message.partition(), message.offset(), 0, None, None, [])


def _not_read(origin: Origin) -> str:
    if origin.oversize:
        return f"it has {origin.oversize} bytes; at most {_LARGEST} are read"
    return "a header's name is not UTF-8; send it again without its headers"


def default_id(origin: Origin) -> str:
    """The id of a request that came without one: the same each time that the record is read."""
    return f"{origin.topic}-{origin.partition}-{origin.offset}"


def _deadline(raw: bytes) -> int | None:
    """Epoch milliseconds; None if the header is not a number of at most 18 digits."""
    try:
        return int(raw) if len(raw) <= _DEADLINE_DIGITS else None
    except ValueError:
        return None


def _past(raw: bytes, ahead_ms: float) -> tuple[Status, str] | None:
    """Status and reason for a deadline that has passed, will pass within `ahead_ms`, or cannot be read; else None."""
    deadline = _deadline(raw)
    if deadline is None:
        return "invalid", f"the header {DEADLINE_HEADER} is {raw[:40]!r}; it must be epoch milliseconds"
    over = time.time() * 1000 - deadline
    if over > 0:
        return "deadline_exceeded", f"the deadline passed {over:.0f} ms before the request was read"
    if over + ahead_ms > 0:
        return "deadline_exceeded", f"its batch takes {ahead_ms:.0f} ms, and the deadline is in {-over:.0f} ms"
    return None
