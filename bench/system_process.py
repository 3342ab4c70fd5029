"""A system that the benchmark starts in a state folder of its own, so that it may kill it."""

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
from bench.environment import child_environment
from standfast.core.errors import ClusterError
from standfast.core.processes.child import start_child
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

OWN_SYSTEM = "bench.own_system"  # the module that runs a system with one service
_STARTS_S = 120.0  # until it is ready
_ENDS_S = 60.0  # after SIGTERM
_POLL_S = 0.01
Value = TypeVar("Value")


class _LogLine(msgspec.Struct):
    event: str = ""
    timestamp: str = ""
    after_ms: float = 0.0


class SystemProcess:
    """The system in the state folder `home`, which has its models.

    It is run as `python -m module argument`; for most modules the argument is the service. It starts a Kafka of its own
    unless `servers` names one.
    """

    def __init__(
        self, settings: Settings, argument: str, home: Path, module: str = OWN_SYSTEM, servers: str = ""
    ) -> None:
        kafka = {"bootstrap_servers": servers, "client": {}}
        self._settings = settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(update=kafka),
                "metrics": settings.metrics.model_copy(update={"port": 0}),
                "console": settings.console.model_copy(update={"port": 0}),
                "log": settings.log.model_copy(update={"format": "json", "level": "info"}),
            }
        )
        self._argument = argument
        self._home = home
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it with an empty log; returns at once."""
        log = self._home / "log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", self._module, self._argument]
        self._process = start_child(command, signal.SIGTERM, log, child_environment(self._settings, self._home))

    def ready(self) -> Settings:
        """Waits until its state is `ready`; returns settings with its Kafka. Raises ClusterError if it ends before."""
        ready_status = self._until(lambda: running if (running := self.status()) and running.state == "ready" else None)
        kafka = self._settings.kafka.model_copy(update={"bootstrap_servers": ready_status.bootstrap_servers})
        return self._settings.model_copy(update={"kafka": kafka})

    def status(self) -> SystemStatus | None:
        """Its status; None while it does not run or has not written its status file."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            read = msgspec.json.decode((self._home / "run" / "status.json").read_bytes(), type=SystemStatus)
        except FileNotFoundError:
            return None
        return read if read.supervisor_pid == self._process.pid else None

    def pids(self) -> frozenset[int]:
        """The pids of its supervisor and all descendants; empty while it does not run."""
        running = self._process is not None and self._process.poll() is None
        return frozenset(processes.family(self._process.pid)) if self._process and running else frozenset()

    def model_loaded(self) -> float:
        """When its model was loaded, in seconds of the monotonic clock; waits for that."""
        line = self._until(lambda: next(self._logged("model is loaded"), None))
        return datetime.fromisoformat(line.timestamp).timestamp() - time.time() + time.monotonic()

    def takeovers_ms(self) -> list[float]:
        """Milliseconds of each takeover so far, from noticing a worker's end until a standby had its partitions."""
        return [line.after_ms for line in self._logged("identity taken over")]

    def kill(self) -> float:
        """Sends SIGKILL to its supervisor only; returns the time (monotonic) of the signal, once that has ended."""
        if self._process is None:
            raise ClusterError("the system to be killed was never started")
        at = time.monotonic()
        self._process.kill()
        self._process.wait()
        return at

    def stop(self) -> None:
        """Stops it with SIGTERM, after 60 s with SIGKILL."""
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
                record = msgspec.json.decode(line, type=_LogLine)
            except msgspec.MsgspecError:
                continue
            if record.event == event:
                yield record

    def _until(self, condition: Callable[[], Value | None]) -> Value:
        deadline = time.monotonic() + _STARTS_S
        while (value := condition()) is None:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                last = (self._home / "log").read_text(errors="replace").strip().splitlines()[-1:]
                raise ClusterError(f"the system does not start: {''.join(last)[:500] or 'it said nothing'}")
            time.sleep(_POLL_S)
        return value


@contextmanager
def system_process(
    settings: Settings, argument: str, home: Path, module: str = OWN_SYSTEM
) -> Iterator[tuple[SystemProcess, Settings]]:
    """The system, ready, and settings with its Kafka; meanwhile STANDFAST_HOME of this process is its state folder."""
    before = os.environ.get("STANDFAST_HOME")
    os.environ["STANDFAST_HOME"] = str(home)
    process = SystemProcess(settings, argument, home, module)
    try:
        process.start()
        yield process, process.ready()
    finally:
        process.stop()
        if before is None:
            del os.environ["STANDFAST_HOME"]
        else:
            os.environ["STANDFAST_HOME"] = before
