"""A child process that runs one role (`profiles`, `stream`, `drills` …) and is started again when it ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import structlog

from standfast.core import telemetry
from standfast.core.backoff import Backoff
from standfast.core.errors import StandfastError
from standfast.core.home import folder
from standfast.core.processes import role_word
from standfast.core.processes.child import why_it_ended
from standfast.core.processes.deaths import Deaths, time_of_day
from standfast.core.processes.stillness import Stillness
from standfast.core.status import RoleState, RoleStatus
from standfast.core.surroundings import kept_variables
from standfast.role_launcher import RoleProcess, as_program

_log = structlog.get_logger()
_STEADY_S = 10.0  # a second death within this time delays the restart
_LOOK_S = 0.5


class Role:
    """One supervised child process on the running asyncio loop."""

    def __init__(
        self,
        name: str,
        module: str,
        environment: dict[str, str],
        changed: Callable[[], None],
        started: Callable[[str, str, dict[str, str]], RoleProcess] = as_program,
    ) -> None:
        self._name = name
        self._started = started
        self._module = module
        self._environment = environment
        self._changed = changed
        self._process: RoleProcess | None = None
        self._backoff = Backoff(deaths=2, within_s=_STEADY_S)
        self._deaths = Deaths(name)
        self._begun = False
        self._stillness: Stillness | None = None
        self._still_since = 0
        self._killed_for = ""
        self._stopping = False

    @property
    def name(self) -> str:
        """The role's name, as `standfast status` shows it."""
        return self._name

    def start(self) -> None:
        """Starts the process, and tries again after a back-off where that fails; call it from the main thread."""
        if self._stopping:
            return
        try:
            self._launch()
        except (StandfastError, OSError) as error:
            self._again(f"cannot be started: {error}")
        self._changed()

    def _launch(self) -> None:
        environment = {
            **kept_variables(os.environ),
            **self._environment,
            **telemetry.environment(folder("run", "metrics"), self._name),
        }
        role_word.forget(self._name)
        self._begun, self._killed_for, self._still_since = False, "", 0
        pulse = role_word.pulse_of(self._name)
        self._process = self._started(self._name, self._module, environment)
        self._deaths.started()
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except OSError:  # its end could not be noticed, and another would be started beside it
            self._process.kill()
            self._process.wait()
            self._process = None
            raise
        asyncio.get_running_loop().add_reader(descriptor, self._ended, descriptor)
        self._stillness = Stillness(self._process.pid, pulse)
        self._look(self._process, self._stillness)

    def status(self) -> RoleStatus:
        """The role's status."""
        pid = self._process.pid if self._process else 0
        self._begun = self._begun or role_word.has_begun(self._name)
        state: RoleState = (
            "running" if pid and self._begun else "backing_off" if self._backoff.is_waiting else "starting"
        )
        deaths = self._deaths
        return RoleStatus(
            id=self._name,
            pid=pid,
            state=state,
            restarts=deaths.count,
            failing=deaths.failing or self._hanging(),
            since=deaths.since or self._still_since,
            ended=deaths.last,
        )

    async def stop(self, within_s: float) -> None:
        """Sends SIGTERM, and SIGKILL after `within_s` seconds."""
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

    def _hanging(self) -> str:
        """Since when the role's loop has made no step, and when it is killed for that; empty while it makes steps."""
        if self._stillness is None or not self._still_since:
            return ""
        began = time_of_day(self._still_since)
        limit = self._stillness.limit_s
        return f"{self._name} has made no step since {began}; after {limit:.0f} s it is killed and started again"

    def _look(self, process: RoleProcess, stillness: Stillness) -> None:
        """Kills the process if it hangs or was stopped by a signal; `_ended` then starts it again.

        A role that hangs after every start needs no back-off: to hang takes it 60 s, longer than any back-off (30 s).
        """
        if self._process is not process:
            return
        stillness.look(_LOOK_S)
        self._deaths.idle(stillness.silent_s)
        if not stillness.is_long:
            self._still_since = 0
        elif not self._still_since:
            self._still_since = int((time.time() - stillness.silent_s) * 1000)
            _log.warning("role makes no step", name=self._name, pid=process.pid, for_s=stillness.silent_s)
        if stillness.too_long and not self._killed_for:
            self._killed_for = stillness.too_long
            _log.warning("role hangs and is killed", name=self._name, pid=process.pid, reason=self._killed_for)
            process.kill()
        asyncio.get_running_loop().call_later(_LOOK_S, self._look, process, stillness)

    def _ended(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        status = self._process.wait() if self._process else 0
        self._process, self._still_since = None, 0
        if not self._stopping:
            self._again(self._killed_for or role_word.last_words(self._name) or why_it_ended(status))
            self._changed()

    def _again(self, why: str) -> None:
        self._deaths.died(why)
        delay = self._backoff.after_death()
        asyncio.get_running_loop().call_later(delay, self.start)
        telemetry.ROLE_RESTARTS.labels(self._name).inc()
        _log.warning("role ended and is started again", name=self._name, why=why, in_s=delay)
