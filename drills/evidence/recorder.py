"""The history while it is being written: what was sent, what came back. Thread-safe."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace

from drills.evidence.history import Fault, History, Request, Sent, Sighting


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
        self._faults: list[Fault] = []
        self._back: dict[int, float] = {}  # of each partition when the latest request was sent that has an answer

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
            if self._faults:
                partition = op.request.partition
                self._back[partition] = max(op.request.invoked, self._back.get(partition, -math.inf))

    def struck(self, fault: Fault) -> None:
        """A fault was injected."""
        with self._lock:
            self._faults.append(fault)

    def healed(self, at: float) -> None:
        """Nothing is left of the fault that was injected last."""
        with self._lock:
            if self._faults:
                self._faults[-1] = replace(self._faults[-1], ended=at)

    def unanswered(self, invoked_before: float | None = None) -> int:
        """Requests that may still be answered, of all or of those sent before an instant."""
        with self._lock:
            if invoked_before is None:
                return len(self._open)
            return sum(1 for at in self._open.values() if at < invoked_before)

    def recovered(self) -> bool:
        """Whether every partition that a fault hit has answered a request that was sent after it."""
        with self._lock:
            hit = [(partition, fault.at) for fault in self._faults for partition in fault.partitions]
            return bool(self._faults) and all(self._back.get(partition, -math.inf) >= at for partition, at in hit)

    def history(self) -> History:
        """All of it up to now."""
        with self._lock:
            requests = tuple(replace(op.request, answers=tuple(op.answers)) for op in self._ops.values())
            return History(requests, tuple(self._unexpected), tuple(self._faults), ended=time.monotonic())
