"""A small system for drills: real worker processes, a status file as the supervisor writes it, replacements or none."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from types import TracebackType

from confluent_kafka.admin import AdminClient

from standfast import topics
from standfast.core import clients, status
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus, WorkerStatus
from tests.support import echo_worker
from tests.waiting import wait_until


class SmallSystem:
    """Two workers of `search` in `mode`. `successor` is the mode of their replacements, None for no replacement."""

    def __init__(self, settings: Settings, mode: str = "once", successor: str | None = "once") -> None:
        self._settings = settings
        self._mode = mode
        self._successor = successor
        self._owned = {"search-0": [0, 1], "search-1": [2]}
        self.workers: dict[str, subprocess.Popen[str]] = {}
        self._stop = threading.Event()
        self._lock = status.lock_file().open("w")
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> SmallSystem:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            topics.apply(AdminClient(clients.base(self._settings, "test")), self._settings.kafka)
            for name in self._owned:
                self.workers[name] = self._started(name, self._mode)
            for worker in self.workers.values():
                assert worker.stdout is not None
                assert worker.stdout.readline() == "serving\n"
        except BaseException:
            self._end()
            raise
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._end()

    def pids(self) -> dict[str, int]:
        """The process id of each worker."""
        return {name: worker.pid for name, worker in self.workers.items()}

    def _end(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()
        self._lock.close()
        wait_until(lambda: not status.is_running(), what="the lock")

    def _started(self, name: str, mode: str) -> subprocess.Popen[str]:
        kafka = self._settings.kafka
        owned = ",".join(map(str, self._owned[name]))
        call = [sys.executable, echo_worker.__file__, kafka.bootstrap_servers, kafka.topic_prefix, name]
        return subprocess.Popen([*call, owned, mode], stdout=subprocess.PIPE, text=True)

    def _supervise(self) -> None:
        while not self._stop.wait(0.01):
            for name, worker in list(self.workers.items()):
                if worker.poll() is not None and self._successor is not None:
                    if worker.stdout is not None:
                        worker.stdout.close()
                    self.workers[name] = self._started(name, self._successor)
                    self._write()

    def _write(self) -> None:
        listed = [
            WorkerStatus(
                id=name,
                pid=worker.pid,
                service="search",
                group=f"{self._settings.kafka.topic_prefix}standfast-search",
                role="active",
                state="serving",
                partitions={f"{self._settings.kafka.topic_prefix}search.requests": self._owned[name]},
            )
            for name, worker in self.workers.items()
        ]
        seen = SystemStatus(
            state="ready",
            at=time.time_ns() // 1_000_000,
            supervisor_pid=os.getpid(),
            bootstrap_servers=self._settings.kafka.bootstrap_servers,
            metrics_url="",
            workers=listed,
        )
        status.write(seen)
