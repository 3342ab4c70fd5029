"""Warming up a system's Kafka: its JVM compiles hot code while it works, which would disturb the first measurements."""

from __future__ import annotations

from bench.closed_loop import ClosedLoop
from bench.requests import RequestMaker
from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core.services import NAMES


def warm_up_kafka(system: RunningSystem, count: int) -> None:
    """Sends `count` requests, one at a time, to each service of the running system."""
    for name in NAMES:
        served = service(name, system.settings)
        if any(worker.group == served.group for worker in system.status().workers):
            loop = ClosedLoop(system.settings, served)
            try:
                loop.run(RequestMaker(name, seed=11).make(count).requests, 1)
            finally:
                loop.close()
