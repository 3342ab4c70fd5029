"""The records on topics, as `contract.md` names them.

Each has an Avro schema with the same fields in `schemas/avro/<avro name>.<version>.avsc`; a test compares the two.
Times are epoch milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import force_setattr

from standfast.core.status import SystemStatus

# Avro's long. A larger JSON number is answered as invalid: an Avro event that repeats it could not be written.
Long = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Scalar = None | bool | Long | float | str
Status = Literal["ok", "deadline_exceeded", "overloaded", "invalid"]
Phase = Literal[
    "accepted",
    "rejected",
    "steady_state",
    "injected",
    "observing",
    "recovered",
    "rolled_back",
    "completed",
    "aborted",
]
Verdict = Literal["passed", "failed", "unknown", "aborted", "rejected"]
Check = Literal["passed", "failed", "unknown"]


class Record(Struct, frozen=True, kw_only=True):
    """Base of all records on topics."""

    avro_name: ClassVar[str]

    @property
    def avro_version(self) -> int | None:
        """The version of its schema with which it is written in single-object encoding; None: the newest."""
        return None


class Range(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A filter by a number: from `min` to `max`, both included; None where there is no bound."""

    min: float | None = None
    max: float | None = None


Wanted = bool | Long | float | str
"""One value of a filter."""

Filters = dict[str, Range | list[Wanted] | bool | Long | float | str]
"""Filters by attribute: a range, several values of which one must be there, or one value."""


class ServiceRequest(Record, frozen=True, kw_only=True):
    """Base of requests. Values are checked at admission, not here, so that a wrong request is answered.

    Each kind declares the three fields itself, in the order of its schema.
    """

    if TYPE_CHECKING:
        request_id: str | None = None
        k: int = 10
        user_id: str | None = None


class SearchRequest(ServiceRequest, frozen=True, kw_only=True):
    """One product search."""

    avro_name: ClassVar[str] = "search_request"
    query: str
    request_id: str | None = None
    k: int = 10
    user_id: str | None = None
    filters: Filters = {}
    facets: list[str] = []
    explain: bool = False


class RecommendRequest(ServiceRequest, frozen=True, kw_only=True):
    """One request for recommendations. `history`, oldest first, is added to the history in the user's profile."""

    avro_name: ClassVar[str] = "recommend_request"
    user_id: str | None = None
    request_id: str | None = None
    k: int = 10
    history: list[str] = []
    exclude_seen: bool = True
    context: dict[str, Scalar] = {}
    filters: Filters = {}
    explain: bool = False


class Because(Struct, frozen=True, gc=False):
    """A product of the user's history, and what it adds to the score of a recommended one."""

    item_id: str
    title: str
    score: float


class Why(Struct, frozen=True, gc=False, omit_defaults=True):
    """Why a product is in an answer; what is not known or does not apply is left out.

    Of a search: the words of the product that the query has, as the shop wrote them; the parts of its score by words
    and by meaning; `code` or `title` if that is what was typed. Of a recommendation: what it follows from.
    """

    words: list[str] = []
    by_words: float | None = None
    by_meaning: float | None = None
    exact: Literal["code", "title"] | None = None
    because: list[Because] = []


class Item(Struct, frozen=True, gc=False, omit_defaults=True):
    """One product of an answer. Scores can be compared within one answer only. `why`: if the request asks for it."""

    item_id: str
    score: float
    title: str
    why: Why | None = None


class FacetValue(Struct, frozen=True, gc=False):
    """How many products have a value."""

    value: str
    count: int


class FacetRange(Struct, frozen=True, gc=False):
    """How many products have a number from `min` to `max`, both included."""

    min: float
    max: float
    count: int


class Facet(Struct, frozen=True, gc=False, kw_only=True):
    """The values of one attribute among `count` products, most frequent first, or the ranges of its numbers.

    `more`: how many further values there are.
    """

    count: int
    values: list[FacetValue] = []
    more: int = 0
    ranges: list[FacetRange] = []


class Result(Record, frozen=True, kw_only=True):
    """The answer to a request. `latency_ms` counts from the timestamp of the request's record.

    `facets` is there only in the answer to a request that asks for them.
    """

    avro_name: ClassVar[str] = "result"
    request_id: str
    status: Status
    items: list[Item] = []
    model: str = ""
    worker: str = ""
    degraded: bool = False
    latency_ms: float = 0.0
    error: str | None = None
    facets: dict[str, Facet] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Leaves out facets of which there are none, as Avro's default has them."""
        if self.facets is not UNSET and not self.facets:
            force_setattr(self, "facets", UNSET)

    @property
    def avro_version(self) -> int | None:
        """1, which clients of before know, unless it holds what only their successors ask for."""
        is_plain = self.facets is UNSET and all(item.why is None for item in self.items)
        return 1 if is_plain else None


class Interaction(Record, frozen=True, kw_only=True):
    """One view, click, cart, purchase or rating. Without a `timestamp` it has that of its record.

    `request_id`: of the answer that showed the product.
    """

    avro_name: ClassVar[str] = "interaction"
    user_id: str
    item_id: str
    event: str = "view"
    timestamp: Long | None = None
    value: float | None = None
    request_id: str | None = None


class Label(Record, frozen=True, kw_only=True):
    """What a user did with a product of an answer. Times are epoch milliseconds.

    `position`: of the product, from 1, among `shown` products; `event`, `value`: of the interaction.
    """

    avro_name: ClassVar[str] = "label"
    request_id: str
    service: str
    model: str
    user_id: str
    item_id: str
    position: int
    shown: int
    event: str
    shown_at: int
    at: int
    value: float | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """One interaction inside a profile."""

    item_id: str
    event: str
    timestamp: int
    value: float | None = None


class Profile(Record, frozen=True, kw_only=True):
    """A user's recent history, oldest first.

    `earlier`: the products that are no longer among `items`, oldest first, with the time of each last interaction;
    they are not recommended either. A user may have a profile in more than one partition, because callers' clients may
    partition keys differently; readers merge them by time.
    """

    avro_name: ClassVar[str] = "profile"
    user_id: str
    items: list[Seen]
    earlier: dict[str, int] = {}
    updated_at: int


class CatalogueItem(Record, frozen=True, kw_only=True):
    """One product as the shop has it now. Without a value (a tombstone) it is deleted.

    `attributes` are what it can be filtered by besides category and price; in JSON they may also be further fields.
    """

    avro_name: ClassVar[str] = "catalogue_item"
    item_id: str
    title: str
    description: str | None = None
    category: str | None = None
    price: float | None = None
    image: str | None = None
    attributes: dict[str, Scalar | list[Wanted]] = {}


class TrafficWindow(Record, frozen=True, kw_only=True):
    """The records of one topic in one window of time, counted. Latencies are those of answers, in milliseconds."""

    avro_name: ClassVar[str] = "traffic_window"
    topic: str
    start: int
    end: int
    records: int
    by_status: dict[str, int] = {}
    latency_mean_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None


class DrillCommand(Record, frozen=True, kw_only=True):
    """One order to the drill runner, in exactly one of these fields; only with `gameday` there may be a `drill` too.

    `drill` starts a drill, `campaign` several; `abort` stops what has that id (`*`: all); `lever` (`engaged`,
    `released`) stops all drills and refuses new ones; `approve` lets the drill of that id begin; `gameday` is `start`,
    `ack`, `decided`, `fixed`, `note` or `end`.

    A runner refuses to begin a drill later than `valid_until` (epoch milliseconds), when its sender has given up.
    """

    avro_name: ClassVar[str] = "drill_command"
    drill: str | None = None
    abort: str | None = None
    drill_id: str | None = None
    target: dict[str, Scalar] = {}
    params: dict[str, Scalar] = {}
    duration_s: float | None = None
    seed: Long | None = None
    dry_run: bool = False
    requested_by: str | None = None
    valid_until: int | None = None
    lever: str | None = None
    approve: str | None = None
    campaign: str | None = None
    gameday: str | None = None
    team: str | None = None
    reason: str | None = None


class Latency(Struct, frozen=True, kw_only=True):
    """Latency of the answers in one part of a drill, in milliseconds."""

    count: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class DrillEvent(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One phase of one drill as it happens; the last event has the verdict and the results it is based on.

    `command`: the record that started the drill, `<topic>-<partition>-<offset>@<topic id>`, which is unique.
    `intent` comes with `steady_state`: the fault about to be injected, from which another runner can undo it.
    """

    avro_name: ClassVar[str] = "drill_event"
    drill_id: str
    drill: str
    phase: Phase
    at: int
    reason: str | None = None
    requested_by: str | None = None
    seed: int | None = None
    target: dict[str, Scalar] | None = None
    params: dict[str, Scalar] | None = None
    verdict: Verdict | None = None
    injected: Check | None = None
    held: Check | None = None
    undone: Check | None = None
    rto_ms: float | None = None
    lost: int | None = None
    duplicated: int | None = None
    out_of_order: int | None = None
    latency_before: Latency | None = None
    latency_during: Latency | None = None
    latency_after: Latency | None = None
    score: float | None = None
    findings: list[str] | None = None
    command: str | None = None
    intent: str | None = None


class HostStatus(SystemStatus, Record, frozen=True, kw_only=True):
    """The status of one host, written by its supervisor, as `standfast status --json` shows it there."""

    avro_name: ClassVar[str] = "host_status"
