"""The systems on which rows are measured: one at a time, kept while the next row needs the same kind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from bench.environment import copied_models, new_home
from bench.failover.campaign import system_for
from bench.kafka_warm_up import warm_up_kafka
from bench.system_process import system_process
from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core.services import NAMES
from standfast.core.settings import Settings

# whole: `standfast up` with two workers a service; many: with four and 64 partitions; the others run only search.
Kind = Literal["whole", "many", "three brokers", "supervisor", "two hosts"]
_STRIKES: dict[Kind, str] = {"three brokers": "broker", "supervisor": "supervisor", "two hosts": "host"}
_WARM_UP, _QUICK_WARM_UP = 3000, 100  # requests; twenty kills took a third longer before Kafka's JVM had compiled


class SharedSystem:
    """Starts its systems in `folder` with copies of the active models; the user's system is left alone.

    Raises ModelError where a service has none.
    """

    def __init__(self, settings: Settings, folder: Path, quick: bool) -> None:
        self.settings = settings
        self._quick = quick
        self._open = contextlib.ExitStack()
        self._kind: Kind | None = None
        self._running: RunningSystem | None = None
        self._number = 0
        self._models = copied_models(NAMES, folder / "models-only")

    def running(self, kind: Kind, tell: Callable[[str], None]) -> RunningSystem:
        """A warm system of that kind: the present one if it is of that kind, else a new one; the old one is ended."""
        if self._running is None or self._kind != kind:
            fresh = self.fresh(kind, tell)
            self.warm_up(tell)
            return fresh
        return self._running

    def fresh(self, kind: Kind, tell: Callable[[str], None]) -> RunningSystem:
        """A new system of that kind that has answered nothing yet; the old one is ended."""
        self.clear()
        tell(f"starting a system: {kind}")
        self._number += 1
        home = new_home(self._models, f"{self._number}/home")
        self._running = self._open.enter_context(self._started(kind, home))
        self._kind = kind
        return self._running

    def warm_up(self, tell: Callable[[str], None]) -> None:
        """Sends the present system requests until its Kafka has compiled what they need."""
        if self._running is not None:
            tell("warming it up")
            warm_up_kafka(self._running, _QUICK_WARM_UP if self._quick else _WARM_UP)

    def clear(self) -> None:
        """Ends the present system: before rows that start their own, and after a row that may have broken it."""
        self._running = None
        self._open.close()

    def _started(self, kind: Kind, home: Path) -> AbstractContextManager[RunningSystem]:
        if kind == "whole":
            return _whole(with_workers(self.settings, 2), home)
        if kind == "many":
            kafka = self.settings.kafka.model_copy(update={"partitions": 64})
            return _whole(with_workers(self.settings, 4).model_copy(update={"kafka": kafka}), home)
        return system_for(_STRIKES[kind], with_workers(self.settings, 2), "search", home)


def with_workers(settings: Settings, workers: int) -> Settings:
    """The settings with `workers` workers and one standby for each service."""
    return settings.for_all_services(workers=workers, standbys=1)


@contextmanager
def _whole(settings: Settings, home: Path) -> Iterator[RunningSystem]:
    """All that `standfast up` runs, with a Kafka of its own; the service is search."""
    kafka = settings.kafka.model_copy(update={"brokers": 1, "replication": 0})
    with system_process(settings.model_copy(update={"kafka": kafka}), "up", home, "standfast") as (process, located):
        yield RunningSystem(located, service("search", located), process)
