"""The goodput of the running system at several times the requests that it can compute."""

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

_IN_FLIGHT = 64  # while the capacity is measured
_WARM_UP = 500  # requests; four times as many measure the capacity
_ONE_BY_ONE = 100  # requests timed one at a time before and after the flood
_SAMPLE_S = 0.5  # between two samples of the workers' memory


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """One flood. Rates are per second; goodput counts good answers that came before their deadline."""

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
    """Measures the capacity with 64 requests in flight, then sends `times` that rate for `seconds`; blocks."""
    flooded = service(name, settings)
    request_maker = RequestMaker(name, seed=7)
    loop, flood = ClosedLoop(settings, flooded), OpenLoop(settings, flooded, deadline_ms / 1000)
    memory = _Memory(flooded)
    try:
        loop.run(request_maker.make(_WARM_UP).requests, _IN_FLIGHT)
        capacity = loop.run(request_maker.make(4 * _WARM_UP).requests, _IN_FLIGHT)
        per_second = 4 * _WARM_UP / capacity.elapsed
        before = loop.run(request_maker.make(_ONE_BY_ONE).requests, 1)
        memory.start()
        flood_run = flood.run(request_maker.make(int(times * per_second * seconds)).requests, times * per_second)
        after = loop.run(request_maker.make(_ONE_BY_ONE).requests, 1)
    finally:
        memory.stop()
        loop.close()
        flood.close()
    goodput = len(flood_run.in_time) / flood_run.sending_s
    return Overload(
        service=name,
        workers=flooded.workers,
        capacity=round(per_second, 1),
        rate=round(flood_run.sent / flood_run.sending_s, 1),
        seconds=round(flood_run.sending_s, 1),
        deadline_ms=deadline_ms,
        goodput=round(goodput, 1),
        ratio=round(goodput / per_second, 3),
        p50_ms=_ms(flood_run.in_time, 0.5),
        p99_ms=_ms(flood_run.in_time, 0.99),
        statuses=dict(flood_run.statuses),
        unanswered=flood_run.sent - flood_run.statuses.total(),
        doubled=flood_run.doubled,
        drained_s=round(flood_run.drained_s, 2),
        before_p50_ms=_ms(before.seconds, 0.5),
        after_p50_ms=_ms(after.seconds, 0.5),
        worker_mb=memory.summary,
    )


class _Memory:
    """Samples the proportional set size of the service's largest worker."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._samples: list[float] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def summary(self) -> list[float]:
        """Megabytes in the first sample, the largest and the last."""
        samples = self._samples or [0.0]
        return [round(samples[0], 1), round(max(samples), 1), round(samples[-1], 1)]

    def _sample(self) -> None:
        while True:
            system_status = status.read()
            workers = system_status.workers if system_status else []
            pids = [
                worker.pid
                for worker in workers
                if worker.group == self._service.group and worker.role == "active" and worker.pid
            ]
            self._samples.append(max((processes.memory_mb([pid]) for pid in pids), default=0.0))
            if self._stopped.wait(_SAMPLE_S):
                return


def _ms(seconds: list[float], share: float) -> float:
    return round(quantile(seconds, share) * 1000, 1) if seconds else 0.0
