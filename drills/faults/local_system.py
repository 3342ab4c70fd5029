"""The running system of this machine, killed as a whole and started again as it was, also if the drill dies with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL

from drills.faults import restarter
from drills.faults.process_handle import ProcessHandle, start_time
from drills.faults.running_system import pids
from drills.running.targets import read_status
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.home import folder
from standfast.core.processes.launching import STARTER_VARIABLE
from standfast.core.processes.proc_stat import proc_stat
from standfast.core.status import SystemStatus, lock_file

_ENDS_S = 5.0  # for the supervisor, after SIGKILL
_ARMED_S = 10.0  # for the program that starts it again to begin its wait
_FIRST = 1  # the first process of a container: the kernel keeps SIGKILL from it


class LocalSystem:
    """What `SystemControl` is for a system that this process did not start. `down_s`: how long it is away."""

    def __init__(self, down_s: float) -> None:
        self._down_s = down_s
        self._now: Path | None = None

    def status(self) -> SystemStatus | None:
        """Its status; None while it does not run."""
        return read_status()

    def pids(self) -> frozenset[int]:
        """The pids of its supervisor and all that the status names."""
        status = self.status()
        return frozenset() if status is None else pids(status)

    def kill(self) -> float:
        """Sends SIGKILL to the supervisor once a process waits that will start it again; returns when it was sent.

        Raises DrillRejected if nothing was done, ClusterError if the supervisor does not end.
        """
        status = self._killable()
        with_handle = ProcessHandle("the supervisor", status.supervisor_pid)
        try:
            self._arm(with_handle.process.pid, with_handle.process.started)
            at = time.monotonic()
            with_handle.signal(SIGKILL)
            if not with_handle.dead_within(_ENDS_S):
                raise ClusterError(f"the supervisor still runs {_ENDS_S:.0f} s after SIGKILL; see `ps`")
        except (DrillRejected, ClusterError):
            self.forget()
            raise
        finally:
            with_handle.close()
        return at

    def start(self) -> None:
        """Has the waiting process start it at once; the wait ends by itself after `down_s`, also without this."""
        if self._now is not None:
            self._now.touch()

    def was(self, pid: int, started: int) -> None:
        """Names the supervisor that was killed, by this process or by one that has died since."""
        self._now = folder("run", "restarts") / f"{pid}-{started}"

    def forget(self) -> None:
        """Deletes the files of the waiting process, which starts nothing after that."""
        if self._now is not None:
            self._now.unlink(missing_ok=True)
            restarter.armed(self._now).unlink(missing_ok=True)

    def model_loaded(self) -> float:
        """Only the benchmark asks for that, of a system of its own."""
        raise NotImplementedError

    def _killable(self) -> SystemStatus:
        status = self.status()
        if status is None:
            raise DrillRejected("the system that is to be killed does not run")
        if status.supervisor_pid == _FIRST:
            raise DrillRejected(
                "the supervisor is process 1, the first of a container; end the container, as `docker kill` does"
            )
        if status.supervisor_started not in {0, start_time(status.supervisor_pid)}:
            raise DrillRejected(f"process {status.supervisor_pid} is no supervisor any more; see: standfast status")
        return status

    def _arm(self, pid: int, started: int) -> None:
        self.was(pid, started)
        assert self._now is not None  # noqa: S101 - `was` has just set it
        restarter.armed(self._now).touch()
        process = Path("/proc") / str(pid)
        try:
            command = _words(process / "cmdline")
            environment = dict(word.split("=", 1) for word in _words(process / "environ") if "=" in word)
            environment.pop(STARTER_VARIABLE, None)  # `up --detach` has ended, and the system would end with it
            arguments = [str(pid), str(started), f"{self._down_s:g}", str(lock_file()), str(self._now)]
            waiting = subprocess.Popen(
                [sys.executable, "-I", "-S", restarter.__file__, *arguments, str(_log(process)), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=(process / "cwd").readlink(),
                env=environment,
            )
        except OSError as error:
            raise DrillRejected(
                f"nothing was injected: the supervisor (process {pid}) could not be started again ({error})"
            ) from None
        with waiting:
            line = waiting.stdout.readline() if waiting.stdout is not None else b""
        if line != b"armed\n":
            raise DrillRejected("nothing was injected: the process that starts the supervisor again does not wait")


def _log(process: Path) -> Path:
    """The regular file that the process writes its log to, else /dev/null: a terminal may be gone by then."""
    log = (process / "fd" / "2").readlink()
    return log if log.is_file() else Path(os.devnull)


def _words(path: Path) -> list[str]:
    return [os.fsdecode(word) for word in path.read_bytes().split(b"\0")[:-1]]


def ancestors() -> frozenset[int]:
    """The pids of this process, its parent, and so on."""
    found, pid = [], os.getpid()
    while pid:
        found.append(pid)
        pid = proc_stat(pid).parent
    return frozenset(found)
