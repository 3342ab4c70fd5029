"""What the running system does with several times the requests it can compute."""

from __future__ import annotations

import threading

import msgspec

from bench import processes
from bench.closed_loop import ClosedLoop
from bench.figures import quantile
from bench.open_loop import OpenLoop
from bench.requests import RequestMaker
from consumers.service import Service, service
from standfast.core import status
from standfast.core.settings import Settings

_IN_FLIGHT = 64
_WARM_UP = 500
_AFTER = 100
_WATCH_S = 0.5


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """One flood. Rates are a second; goodput counts good answers that came before their deadline."""

    service: str
    workers: int
    capacity: float
    rate: float
    seconds: float
    deadline_ms: int
    goodput: float
    ratio: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]
    unanswered: int
    doubled: int
    drained_s: float
    before_p50_ms: float
    after_p50_ms: float
    worker_mb: list[float]


def overload(settings: Settings, name: str, times: float, seconds: float, deadline_ms: int) -> Overload:
    """Measures the capacity with 64 requests in flight, then sends `times` as many for so long; blocks."""
    own = service(name, settings)
    asker = RequestMaker(name, seed=7)
    loop, flood = ClosedLoop(settings, own), OpenLoop(settings, own, deadline_ms / 1000)
    memory = _Memory(own)
    try:
        loop.run(asker.ask(_WARM_UP).requests, _IN_FLIGHT)
        capacity = loop.run(asker.ask(4 * _WARM_UP).requests, _IN_FLIGHT)
        per_second = 4 * _WARM_UP / capacity.elapsed
        before = loop.run(asker.ask(_AFTER).requests, 1)
        memory.start()
        seen = flood.run(asker.ask(int(times * per_second * seconds)).requests, times * per_second)
        after = loop.run(asker.ask(_AFTER).requests, 1)
    finally:
        memory.stop()
        loop.close()
        flood.close()
    goodput = len(seen.in_time) / seen.sending_s
    return Overload(
        service=name,
        workers=own.workers,
        capacity=round(per_second, 1),
        rate=round(seen.sent / seen.sending_s, 1),
        seconds=round(seen.sending_s, 1),
        deadline_ms=deadline_ms,
        goodput=round(goodput, 1),
        ratio=round(goodput / per_second, 3),
        p50_ms=_ms(seen.in_time, 0.5),
        p99_ms=_ms(seen.in_time, 0.99),
        statuses=dict(seen.statuses),
        unanswered=seen.sent - seen.statuses.total(),
        doubled=seen.doubled,
        drained_s=round(seen.drained_s, 2),
        before_p50_ms=_ms(before.seconds, 0.5),
        after_p50_ms=_ms(after.seconds, 0.5),
        worker_mb=memory.seen,
    )


class _Memory:
    """The proportional set size of the largest worker, first, most and last."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._samples: list[float] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def seen(self) -> list[float]:
        """Megabytes at the beginning, at most, and at the end."""
        rows = self._samples or [0.0]
        return [round(rows[0], 1), round(max(rows), 1), round(rows[-1], 1)]

    def _watch(self) -> None:
        while True:
            running = status.read()
            rows = running.workers if running else []
            pids = [row.pid for row in rows if row.group == self._service.group and row.role == "active" and row.pid]
            self._samples.append(max((processes.memory_mb([pid]) for pid in pids), default=0.0))
            if self._stopped.wait(_WATCH_S):
                return


def _ms(seconds: list[float], share: float) -> float:
    return round(quantile(seconds, share) * 1000, 1) if seconds else 0.0
