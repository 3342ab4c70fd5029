"""One request through request topic, result topic and dead letters; and the last dead letters of a topic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from console.scanning import scan
from consumers.requests.admission import Origin, origin_of, read
from consumers.service import service
from schemas.codec import Codec
from schemas.dead_letters import receipt_in
from schemas.records import Result, ServiceRequest
from schemas.topics import BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core.consumed import Consumed
from standfast.core.errors import StandfastError
from standfast.core.printable import one_line
from standfast.core.services import NAMES
from standfast.core.settings import Settings

MOST = 20_000  # records of each topic
MOST_LETTERS = 50
_MOST_FOUND = 100
_SHOWN = {"request_id", "k"}  # of a request: the rest may be personal
_DEFAULT_ID = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249})-(?P<partition>\d{1,9})-(?P<offset>\d{1,15})")


@dataclass(frozen=True, slots=True)
class Place:
    """A record about the request: where it is, what it is, and what may be told of it; `tone`: of the answer."""

    at: int
    topic: str
    partition: int
    offset: int
    what: str
    tone: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Trail:
    """Where the request was found, in the order of time. `read` records were looked at, `whole`: all that are kept
    within the bound.
    """

    found: tuple[Place, ...]
    read: int
    whole: bool

    @property
    def answers(self) -> int:
        """How many answers there are."""
        return sum(1 for place in self.found if place.what.startswith("answer"))


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter without its value. `at`: epoch milliseconds; `size`: bytes; `done`: what somebody did with it."""

    id: str
    at: int
    reason: str
    source: str
    worker: str
    size: int
    done: str = ""


def follow(request_id: str, settings: Settings) -> Trail:
    """Looks for a request; blocks, at most as long as a scan. Raises ClusterError."""
    services = [service(name, settings) for name in NAMES]
    kinds = {topic: one.kind for one in services for topic in (one.requests, one.bulk_requests)}
    results = {one.results for one in services} | {one.bulk_results for one in services}
    letters = {one.dead_letters for one in services}
    found: dict[tuple[str, int, int], Place] = {}
    codec, needle = Codec(), request_id.encode(errors="surrogateescape")
    own = _DEFAULT_ID.fullmatch(request_id)
    at_offset = {(own["topic"], int(own["partition"])): int(own["offset"]) for own in [own] if own}
    at_offset = {place: offset for place, offset in at_offset.items() if place[0] in kinds}

    def take(message: Consumed) -> None:
        at = (message.topic(), message.partition())
        is_it = at_offset.get(at) == message.offset()
        if is_it or needle in (message.value() or b"") or needle == message.key():
            place = _place(origin_of(message), request_id, codec, kinds, results, is_it)
            if place is not None and len(found) < _MOST_FOUND:
                found[*at, message.offset()] = place

    scanned = scan(settings, sorted({*kinds, *results, *letters}), MOST, take, at_offset)
    return Trail(tuple(sorted(found.values(), key=lambda place: place.at)), scanned.read, scanned.whole)


def dead_letters(topic: str, settings: Settings) -> list[LetterRow]:
    """The last dead letters of a topic of ours, the newest first; raises ClusterError."""
    rows: list[LetterRow] = []
    done: dict[str, str] = {}

    def take(message: Consumed) -> None:
        origin = origin_of(message)
        if (receipt := receipt_in(origin.headers, origin.value)) is not None:
            for partition, offset in receipt.letters:
                done[f"{partition}-{offset}"] = one_line(f"{receipt.deed} by {receipt.by}")
            return
        said = {
            name: _text(origin.header(f"error-{name}")) for name in ("reason", "topic", "partition", "offset", "worker")
        }
        source = f"{said['topic']} {said['partition']} at {said['offset']}"
        place, size = f"{origin.partition}-{origin.offset}", len(origin.value or b"")
        rows.append(LetterRow(place, origin.timestamp_ms, said["reason"], source, said["worker"], size))

    scan(settings, [topic], MOST_LETTERS, take)
    newest = sorted(rows, key=lambda row: -row.at)[:MOST_LETTERS]
    return [replace(row, done=done.get(row.id, "")) for row in newest]


def is_dead_letters(topic: str, settings: Settings) -> bool:
    """Whether it is one of our topics of dead letters."""
    prefix = settings.kafka.topic_prefix
    return topic.endswith(DEAD_LETTER_SUFFIX) and topic.startswith(prefix) and topic.removeprefix(prefix) in BY_NAME


def _place(
    origin: Origin,
    request_id: str,
    codec: Codec,
    kinds: Mapping[str, type[ServiceRequest]],
    results: set[str],
    is_it: bool,
) -> Place | None:
    """What a record says of the request; None if it only quotes the id."""
    at = (origin.timestamp_ms, origin.topic, origin.partition, origin.offset)
    if origin.topic in results:
        try:
            result, _ = read(origin, codec, Result)
        except StandfastError as error:
            return Place(*at, "answer that cannot be read", "failed", (("why", one_line(str(error))),))
        if result.request_id != request_id:
            return None
        return Place(
            *at, f"answer: {result.status}", "ok" if result.status == "ok" else "failed", tuple(_answered(result))
        )
    if origin.topic in kinds:
        return _asked(origin, request_id, codec, kinds[origin.topic], is_it)
    return Place(*at, "dead letter", "failed", (("why", _text(origin.header("error-reason"))),))


def _asked(origin: Origin, request_id: str, codec: Codec, kind: type[ServiceRequest], is_it: bool) -> Place | None:
    """The request itself, without what may be personal: what was asked for, and who asked."""
    at = (origin.timestamp_ms, origin.topic, origin.partition, origin.offset)
    try:
        request, _ = read(origin, codec, kind)
    except StandfastError as error:
        return Place(*at, "request that cannot be read", "failed", (("why", one_line(str(error))),))
    if not is_it and request.request_id != request_id:
        return None
    hidden = [name for name, value in msgspec.structs.asdict(request).items() if value and name not in _SHOWN]
    return Place(*at, "request", "asked", (("products wanted", str(request.k)), ("hidden", ", ".join(hidden))))


def _answered(result: Result) -> Iterator[tuple[str, str]]:
    yield "by", f"{one_line(result.worker)}, {one_line(result.model)}"
    yield "in", f"{result.latency_ms:.1f} ms"
    yield "products", f"{len(result.items)}{' (degraded)' if result.degraded else ''}"
    if result.error:
        yield "why", one_line(result.error)


def _text(header: bytes | None) -> str:
    return one_line((header or b"").decode(errors="replace"))[:1000]
