"""A process that runs one role alone (`stream`, `drills`) and is started again when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import structlog

from standfast import telemetry
from standfast.backoff import Backoff
from standfast.child import start_child
from standfast.home import folder
from standfast.status import RoleStatus
from standfast.stillness import is_stopped

_log = structlog.get_logger()
_STEADY_S = 10.0
_LOOK_S = 0.5
_STOPPED_S = 2.0


class Role:
    """One supervised child process on the running asyncio loop."""

    def __init__(self, name: str, module: str, environment: dict[str, str], changed: Callable[[], None]) -> None:
        self._name = name
        self._module = module
        self._environment = environment
        self._changed = changed
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff(deaths=2, within_s=_STEADY_S)
        self._restarts = 0
        self._stopping = False

    def start(self) -> None:
        """Starts the process; from the main thread only."""
        if self._stopping:
            return
        environment = {
            **os.environ,
            **self._environment,
            **telemetry.environment(folder("run", "metrics"), self._name),
        }
        self._process = start_child([sys.executable, "-P", "-m", self._module], signal.SIGTERM, None, environment)
        descriptor = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(descriptor, self._ended, descriptor)
        self._look(self._process)
        self._changed()

    def status(self) -> RoleStatus:
        """How it is."""
        pid = self._process.pid if self._process else 0
        state = "backing_off" if self._backoff.is_waiting else "running" if pid else "starting"
        return RoleStatus(id=self._name, pid=pid, state=state, restarts=self._restarts)  # type: ignore[arg-type]

    async def stop(self, within_s: float) -> None:
        """Asks it to end, and kills it after `within_s` seconds."""
        self._stopping = True
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + within_s
        while self._process is not None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._process is not None:
            _log.warning("role did not stop in time and is killed", name=self._name, pid=self._process.pid)
            self._process.kill()
            self._process.wait()

    def _look(self, process: subprocess.Popen[bytes], stopped_for_s: float = 0.0) -> None:
        """Kills it if it was stopped: `_ended` starts it again. One that was continued at once is let be."""
        if self._process is not process:
            return
        stopped_for_s = stopped_for_s + _LOOK_S if is_stopped(process.pid) else 0.0
        if stopped_for_s > _STOPPED_S:
            _log.warning("role is stopped and is killed", name=self._name, pid=process.pid)
            process.kill()
        asyncio.get_running_loop().call_later(_LOOK_S, self._look, process, stopped_for_s)

    def _ended(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        status = self._process.wait() if self._process else 0
        self._process = None
        if self._stopping:
            return
        self._restarts += 1
        delay = self._backoff.after_death()
        _log.warning("role ended and is started again", name=self._name, status=status, in_s=delay)
        asyncio.get_running_loop().call_later(delay, self.start)
        self._changed()
