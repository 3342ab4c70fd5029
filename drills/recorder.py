"""The history while it is being written: what was sent, what came back. Thread-safe."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

from drills.history import Fault, History, Request, Sent, Sighting


@dataclass(slots=True)
class _Op:
    request: Request
    answers: list[Sighting] = field(default_factory=list)


class Recorder:
    """Gathers the history of one drill from the sender's and the reader's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ops: dict[str, _Op] = {}
        self._open: dict[str, float] = {}
        self._unexpected: list[str] = []
        self._fault: Fault | None = None
        self._back: set[int] = set()

    def invoked(self, request: Request) -> None:
        """A request is about to be sent."""
        with self._lock:
            self._ops[request.request_id] = _Op(request)
            self._open[request.request_id] = request.invoked

    def sent(self, request_id: str, how: Sent, offset: int = -1) -> None:
        """What became of sending it."""
        with self._lock:
            op = self._ops[request_id]
            op.request = replace(op.request, sent=how, offset=offset)
            if how != "acked":
                self._open.pop(request_id, None)

    def seen(self, request_id: str, sighting: Sighting) -> None:
        """An answer was read."""
        with self._lock:
            op = self._ops.get(request_id)
            if op is None:
                self._unexpected.append(request_id)
                return
            op.answers.append(sighting)
            self._open.pop(request_id, None)
            if self._fault and op.request.invoked >= self._fault.at:
                self._back.add(op.request.partition)

    def struck(self, fault: Fault) -> None:
        """The fault was injected."""
        with self._lock:
            self._fault = fault

    def unanswered(self, invoked_before: float | None = None) -> int:
        """Requests that may still be answered, of all or of those sent before an instant."""
        with self._lock:
            if invoked_before is None:
                return len(self._open)
            return sum(1 for at in self._open.values() if at < invoked_before)

    def recovered(self) -> bool:
        """Whether every partition the fault hit has answered a request that was sent after it."""
        with self._lock:
            return self._fault is not None and self._fault.partitions <= self._back

    def history(self) -> History:
        """All of it up to now."""
        with self._lock:
            requests = tuple(replace(op.request, answers=tuple(op.answers)) for op in self._ops.values())
            return History(requests, tuple(self._unexpected), self._fault, ended=time.monotonic())
