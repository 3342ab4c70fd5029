"""A system that has worked for a while: Kafka compiles itself meanwhile, and would do so in what is measured first."""

from __future__ import annotations

from bench.closed_loop import ClosedLoop
from bench.requests import RequestMaker
from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core.services import NAMES


def warm_up_kafka(at: RunningSystem, count: int) -> None:
    """Has each service that runs there answer so many requests, one by one."""
    for name in NAMES:
        own = service(name, at.settings)
        if any(row.group == own.group for row in at.status().workers):
            loop = ClosedLoop(at.settings, own)
            try:
                loop.run(RequestMaker(name, seed=11).ask(count).requests, 1)
            finally:
                loop.close()
