"""The history of a drill that still runs: requests as they are sent, answers as they are read. Thread-safe."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from msgspec import structs

from drills.evidence.history import Fault, History, Request, Sent, Sighting


@dataclass(slots=True)
class _Operation:
    request: Request
    answers: list[Sighting] = field(default_factory=list)


class Recorder:
    """Collects the history of one drill from the sending and the reading thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: dict[str, _Operation] = {}
        self._unanswered: dict[str, float] = {}
        self._unexpected: list[str] = []
        self._faults: list[Fault] = []
        self._answered: dict[int, float] = {}  # by partition: when its latest answered request was sent; since a fault

    def invoked(self, request: Request) -> None:
        """Records that a request is about to be sent."""
        with self._lock:
            self._operations[request.request_id] = _Operation(request)
            self._unanswered[request.request_id] = request.invoked

    def sent(self, request_id: str, how: Sent, offset: int = -1) -> None:
        """Records how sending it ended."""
        with self._lock:
            operation = self._operations[request_id]
            operation.request = structs.replace(operation.request, sent=how, offset=offset)
            if how != "acked" or self._is_deleted(operation.request):
                self._unanswered.pop(request_id, None)

    def seen(self, request_id: str, sighting: Sighting) -> None:
        """Records an answer that was read."""
        with self._lock:
            operation = self._operations.get(request_id)
            if operation is None:
                self._unexpected.append(request_id)
                return
            operation.answers.append(sighting)
            self._unanswered.pop(request_id, None)
            if self._faults:
                partition = operation.request.partition
                self._answered[partition] = max(operation.request.invoked, self._answered.get(partition, -math.inf))

    def struck(self, fault: Fault) -> None:
        """Records that this fault was injected."""
        with self._lock:
            self._faults.append(fault)
            if fault.deleted:
                gone = [name for name in self._unanswered if fault.has_deleted(self._operations[name].request)]
                for name in gone:
                    del self._unanswered[name]

    def healed(self, fault: Fault, at: float) -> None:
        """Records that the fault was undone at `at` (monotonic)."""
        with self._lock:
            self._faults = [structs.replace(struck, ended=at) if struck == fault else struck for struck in self._faults]

    def unanswered(self, invoked_before: float | None = None) -> int:
        """How many requests may still be answered: of all, or of those sent before `invoked_before`."""
        with self._lock:
            if invoked_before is None:
                return len(self._unanswered)
            return sum(1 for at in self._unanswered.values() if at < invoked_before)

    def recovered(self) -> bool:
        """Whether every partition that a fault hit has answered a request sent after it."""
        with self._lock:
            hit = [(partition, fault.at) for fault in self._faults for partition in fault.partitions]
            return bool(self._faults) and all(self._answered.get(partition, -math.inf) >= at for partition, at in hit)

    def history(self) -> History:
        """The history up to now."""
        with self._lock:
            requests = tuple(
                structs.replace(operation.request, answers=tuple(operation.answers))
                for operation in self._operations.values()
            )
            return History(requests, tuple(self._unexpected), tuple(self._faults), ended=time.monotonic())

    def _is_deleted(self, request: Request) -> bool:
        return any(fault.has_deleted(request) for fault in self._faults if fault.deleted)
