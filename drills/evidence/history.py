"""The history of a drill: every request it sent, and every answer that a read_committed reader saw.

As in Jepsen, sending a request ends as `acked` (it is certainly in the log), `failed` (it is certainly not) or
`unknown`. All times are seconds of one monotonic clock.

A drill may send 10^6 requests, so the garbage collector does not follow requests and answers; no cycle can hold them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Sent = Literal["acked", "failed", "unknown"]


class Sighting(Struct, frozen=True, gc=False):
    """One answer as the reader saw it; `partition` and `offset` are those of the result topic.

    `at` is when it was read. `written_ms` is the record's timestamp, epoch milliseconds by its producer's clock.
    `items`: how many products it has, -1 if they were not counted.
    """

    at: float
    partition: int
    offset: int
    status: str
    worker: str = ""
    written_ms: int = 0
    items: int = -1


class Request(Struct, frozen=True, gc=False):
    """One request. `due` is when it had to be sent by the fixed rate, `invoked` when it was sent.

    `offset` is that of its record, -1 if unknown. `k` is how many products it asks for, 0 if unknown. `copies` are the
    offsets of all its records in the request topic, more than one if it was written more than once; empty if `offset`
    is the only one, or if the topic was not read.
    """

    request_id: str
    partition: int
    due: float
    invoked: float
    sent: Sent = "unknown"
    offset: int = -1
    answers: tuple[Sighting, ...] = ()
    k: int = 0
    copies: tuple[int, ...] = ()

    @property
    def answered_at(self) -> float | None:
        """When its first answer was seen."""
        if len(self.answers) == 1:  # nearly always, and asked several times for each request
            return self.answers[0].at
        return min((answer.at for answer in self.answers), default=None)

    @property
    def latency_ms(self) -> float | None:
        """From `due`, not from `invoked`, to the first answer: a sender that falls behind must not hide latency."""
        at = self.answered_at
        return None if at is None else (at - self.due) * 1000


class Deleted(Struct, frozen=True):
    """Requests that a fault itself deleted from one partition of the request topic, all of them the drill's own.

    Args:
        first: the offset of the first one.
        until: the offset behind the last one.
        count: how many; there may be transaction markers among the offsets.
    """

    partition: int
    first: int
    until: int
    count: int


class Fault(Struct, frozen=True):
    """One fault: when it was injected, and the partitions of the request topic that it hit.

    Args:
        at: its start.
        partitions: all partitions that it hit.
        name: the name of its kind.
        victims: the partitions of each process that it struck; empty: one victim served all of them.
        written_after_ms: no victim wrote an answer whose record's timestamp (epoch ms) is later than this.
        ended: when it was seen to be undone; None if it was not.
        deleted: the requests that it deleted unread; they are counted apart from what the system lost.
    """

    at: float
    partitions: frozenset[int]
    name: str = ""
    victims: tuple[frozenset[int], ...] = ()
    written_after_ms: int = 0
    ended: float | None = None
    deleted: tuple[Deleted, ...] = ()

    def has_deleted(self, request: Request) -> bool:
        """Whether this request's record is one of those that the fault deleted."""
        return any(
            part.partition == request.partition and part.first <= request.offset < part.until for part in self.deleted
        )


class History(Struct, frozen=True):
    """One drill: its requests, ids of answers to requests it never sent, its faults by start, the end of reading."""

    requests: tuple[Request, ...] = ()
    unexpected: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    ended: float = 0.0
