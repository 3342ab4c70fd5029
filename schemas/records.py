"""The records that cross topics, as `contract.md` names them.

Each has an Avro schema of the same fields in `schemas/avro/<avro name>.<version>.avsc`; a test holds the two together.
Times are epoch milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from standfast.core.status import SystemStatus

# Avro's long: a JSON number beyond it is told to its sender. Let through, no Avro event that repeats it can be written.
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
    """Base of everything that crosses a topic."""

    avro_name: ClassVar[str]


class ServiceRequest(Record, frozen=True, kw_only=True):
    """Base of what services are asked. All is checked at admission, not here, so that a wrong one is answered.

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


class RecommendRequest(ServiceRequest, frozen=True, kw_only=True):
    """One request for recommendations; `history` is added to what the user's profile holds, oldest first."""

    avro_name: ClassVar[str] = "recommend_request"
    user_id: str | None = None
    request_id: str | None = None
    k: int = 10
    history: list[str] = []
    exclude_seen: bool = True
    context: dict[str, Scalar] = {}


class Item(Struct, frozen=True, gc=False):
    """One answered product, best first in its list. Scores can be compared within one answer only."""

    item_id: str
    score: float
    title: str


class Result(Record, frozen=True, kw_only=True):
    """The answer to a search or a recommendation. `latency_ms` runs from the request's record timestamp."""

    avro_name: ClassVar[str] = "result"
    request_id: str
    status: Status
    items: list[Item] = []
    model: str = ""
    worker: str = ""
    degraded: bool = False
    latency_ms: float = 0.0
    error: str | None = None


class Interaction(Record, frozen=True, kw_only=True):
    """One view, click, cart, purchase or rating. Without `timestamp` the record's own counts."""

    avro_name: ClassVar[str] = "interaction"
    user_id: str
    item_id: str
    event: str = "view"
    timestamp: Long | None = None
    value: float | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """One interaction inside a profile."""

    item_id: str
    event: str
    timestamp: int
    value: float | None = None


class Profile(Record, frozen=True, kw_only=True):
    """A user's recent history, oldest first.

    `earlier`: the products that are not among `items` any more, oldest first, and when each was last met: they are not
    recommended either. One user may have a profile in more than one partition, because callers' clients partition keys
    differently; readers merge them by time.
    """

    avro_name: ClassVar[str] = "profile"
    user_id: str
    items: list[Seen]
    earlier: dict[str, int] = {}
    updated_at: int


class TrafficWindow(Record, frozen=True, kw_only=True):
    """What passed through one topic in one window of time. Latencies are of answers, in milliseconds."""

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
    """Starts the drill `drill`, or stops the one (`*`: all) named by `abort`.

    A drill that a runner would begin later than `valid_until` (epoch milliseconds) is refused: its sender has given up.
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


class Latency(Struct, frozen=True, kw_only=True):
    """Latency of the answers in one stretch of a drill, milliseconds."""

    count: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class DrillEvent(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One phase of one drill as it happens; the last one carries the verdict and what it is made of.

    `command` names the record that asked for it, `<topic>-<partition>-<offset>@<topic's id>`: no other has that name.
    `intent` comes with `steady_state`: what is about to be injected, from which another runner can undo it.
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
    """What the supervisor of one host says of its system, as `standfast status --json` shows it there."""

    avro_name: ClassVar[str] = "host_status"
