"""What a drill saw: every request it sent and every answer a read_committed reader saw to it.

After Jepsen: an invocation ends as `acked` (it surely is in the log), `failed` (it surely is not) or `unknown`. All
times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sent = Literal["acked", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer as the reader saw it; `partition` and `offset` are those of the result topic.

    `written_ms` is the record's own timestamp, epoch milliseconds by the clock of whoever wrote it. `items`: how many
    products it names, -1 if that was not looked at.
    """

    at: float
    partition: int
    offset: int
    status: str
    worker: str = ""
    written_ms: int = 0
    items: int = -1


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `due` is when the fixed rate wanted it sent, `invoked` when it was; `offset` -1: not known.

    `k` is how many products it asks for, 0 if that is not known. `copies` are the offsets of all its records in the
    request topic, one for each time it was written; empty where nobody has looked.
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
        return min((answer.at for answer in self.answers), default=None)

    @property
    def latency_ms(self) -> float | None:
        """From when it was due, so that a sender that falls behind hides nothing."""
        at = self.answered_at
        return None if at is None else (at - self.due) * 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it struck, and the partitions of the request topic that it hit.

    Args:
        at: its start.
        partitions: all that it hit.
        name: what kind of fault it is.
        victims: of each process that it struck the partitions that this served; empty: one victim served them all.
        written_after_ms: an answer whose own timestamp (epoch ms) is later was written by no victim.
        ended: when nothing of it was left; None if that was not seen.
    """

    at: float
    partitions: frozenset[int]
    name: str = ""
    victims: tuple[frozenset[int], ...] = ()
    written_after_ms: int = 0
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All requests of one drill, answers to ids that it never sent, its faults by start, and when reading ended."""

    requests: tuple[Request, ...] = ()
    unexpected: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    ended: float = 0.0
