"""A system of the benchmark's own in a state folder of its own, to be killed at will."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from bench import processes
from bench.environment import environment
from standfast.core.errors import ClusterError
from standfast.core.processes.child import start_child
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

OWN = "bench.own_system"
_STARTS_S = 120.0
_ENDS_S = 60.0
_POLL_S = 0.01
Found = TypeVar("Found")


class _LogLine(msgspec.Struct):
    event: str = ""
    timestamp: str = ""
    after_ms: float = 0.0


class SystemProcess:
    """The system in the state folder `home`, which holds its models.

    `module` is what runs it, given the `word`, which for most is the service. It has a Kafka of its own unless
    `servers` names one.
    """

    def __init__(self, settings: Settings, word: str, home: Path, module: str = OWN, servers: str = "") -> None:
        own = {"bootstrap_servers": servers, "client": {}}
        self._settings = settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(update=own),
                "metrics": settings.metrics.model_copy(update={"port": 0}),
                "log": settings.log.model_copy(update={"format": "json", "level": "info"}),
            }
        )
        self._word = word
        self._home = home
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and returns at once. Its log begins anew."""
        log = self._home / "log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", self._module, self._word]
        self._process = start_child(command, signal.SIGTERM, log, environment(self._settings, self._home))

    def ready(self) -> Settings:
        """The settings that reach it, once everything of it is there; raises ClusterError if it ends before."""
        found = self._until(lambda: running if (running := self.status()) and running.state == "ready" else None)
        kafka = self._settings.kafka.model_copy(update={"bootstrap_servers": found.bootstrap_servers})
        return self._settings.model_copy(update={"kafka": kafka})

    def status(self) -> SystemStatus | None:
        """What it says of itself; None while it does not run, or has not said anything yet."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            found = msgspec.json.decode((self._home / "run" / "status.json").read_bytes(), type=SystemStatus)
        except FileNotFoundError:
            return None
        return found if found.supervisor_pid == self._process.pid else None

    def pids(self) -> frozenset[int]:
        """Its supervisor and everything that this has started; empty while it does not run."""
        running = self._process is not None and self._process.poll() is None
        return frozenset(processes.family(self._process.pid)) if self._process and running else frozenset()

    def model_loaded(self) -> float:
        """When its model was in memory, in seconds of the monotonic clock; waits for it."""
        line = self._until(lambda: next(self._logged("model is loaded"), None))
        return datetime.fromisoformat(line.timestamp).timestamp() - time.time() + time.monotonic()

    def takeovers_ms(self) -> list[float]:
        """How long each takeover so far took, from seeing a worker's end until a standby had its partitions."""
        return [line.after_ms for line in self._logged("identity taken over")]

    def kill(self) -> float:
        """SIGKILL of its supervisor alone; returns when (monotonic) that was, once it is gone."""
        if self._process is None:
            raise ClusterError("the system to be killed was never started")
        at = time.monotonic()
        self._process.kill()
        self._process.wait()
        return at

    def stop(self) -> None:
        """Ends it in order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _logged(self, event: str) -> Iterator[_LogLine]:
        for line in (self._home / "log").read_bytes().splitlines():
            try:
                found = msgspec.json.decode(line, type=_LogLine)
            except msgspec.MsgspecError:
                continue
            if found.event == event:
                yield found

    def _until(self, condition: Callable[[], Found | None]) -> Found:
        until = time.monotonic() + _STARTS_S
        while (found := condition()) is None:
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                last = (self._home / "log").read_text(errors="replace").strip().splitlines()[-1:]
                raise ClusterError(f"the system does not start: {''.join(last)[:500] or 'it said nothing'}")
            time.sleep(_POLL_S)
        return found


@contextmanager
def system_process(
    settings: Settings, word: str, home: Path, module: str = OWN
) -> Iterator[tuple[SystemProcess, Settings]]:
    """The system, ready, and the settings that reach it; meanwhile its state folder is this process's too."""
    before = os.environ.get("STANDFAST_HOME")
    os.environ["STANDFAST_HOME"] = str(home)
    process = SystemProcess(settings, word, home, module)
    try:
        process.start()
        yield process, process.ready()
    finally:
        process.stop()
        if before is None:
            del os.environ["STANDFAST_HOME"]
        else:
            os.environ["STANDFAST_HOME"] = before
