"""Starts `standfast up` as a detached process, waits until it is ready, and stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from standfast.core import status
from standfast.core.errors import ClusterError
from standfast.core.home import folder

_POLL_S = 0.05
_STOP_WITHIN_S = 60.0
# The pid of the process that waits until the system is ready; if that process is killed meanwhile, the system stops.
STARTER_VARIABLE = "STANDFAST_STARTER"
_SOURCE = Path(__file__).resolve().parents[3]


def command(*arguments: str) -> list[str]:
    """The command line that runs a Standfast command in another process.

    `-P` keeps the current folder off the module path, as it may hold a `models` folder of the user's.
    """
    return [sys.executable, "-P", "-m", "standfast", *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with the folder of this code first in PYTHONPATH."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_SOURCE), *filter(None, others)])}


def log_file() -> Path:
    """The log of a detached system; the last start's is kept beside it as `up.previous.log`."""
    return folder("logs") / "up.log"


def start_detached(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Starts `standfast up` in its own session, so that it outlives this terminal."""
    path = log_file()
    if path.exists():
        path.replace(path.with_name("up.previous.log"))
    with path.open("ab") as log:
        return subprocess.Popen(
            command("up", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**environment(), STARTER_VARIABLE: str(os.getpid())},
        )


def wait_ready(process: subprocess.Popen[bytes], on_detail: Callable[[str], None]) -> status.SystemStatus:
    """Blocks until the system is ready and every role runs; returns its status. `on_detail` gets progress messages.

    Raises:
        ClusterError: the process ended first (with its last log line), or it runs and something keeps ending.
    """
    shown = ""
    while True:
        code = process.poll()
        running = _written_by(process.pid)
        if code is not None:
            raise ClusterError(f"the system did not start (exit code {code}): {_last_words()}")
        if running is not None and running.state == "degraded":
            raise ClusterError(
                f"the system runs, but {running.detail}; `standfast status` shows it, `standfast down` stops it"
            )
        if running is not None and running.state == "ready" and all(role.state == "running" for role in running.roles):
            return running
        if running is not None and running.detail and running.detail != shown:
            shown = running.detail
            on_detail(shown)
        time.sleep(_POLL_S)


def stop(running: status.SystemStatus, within_s: float = _STOP_WITHIN_S) -> bool:
    """Sends the supervisor SIGTERM and waits until its lock is free; False if it is not after `within_s` seconds.

    A process that has reused the supervisor's pid is not signalled: its start time differs.
    """
    try:
        pidfd = os.pidfd_open(running.supervisor_pid)
    except ProcessLookupError:
        return not status.is_running()
    try:
        if running.supervisor_started in {0, status.started_at(running.supervisor_pid)}:  # 0: by an older version
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    except ProcessLookupError:
        return True  # the supervisor ended meanwhile
    finally:
        os.close(pidfd)
    deadline = time.monotonic() + within_s
    while status.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _written_by(pid: int) -> status.SystemStatus | None:
    """The status if this supervisor wrote it; None for an older one's file. Does not test the lock."""
    try:
        running = msgspec.json.decode(status.status_file().read_bytes(), type=status.SystemStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return running if running.supervisor_pid == pid else None


def _last_words() -> str:
    lines = [line.strip() for line in log_file().read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["nothing was logged"])[-1].removeprefix("error: ")
