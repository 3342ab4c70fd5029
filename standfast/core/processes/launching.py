"""Starting `standfast up` as a process of its own, waiting until it is ready, and stopping it."""

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
# Set for a system that is started for somebody who waits until it is ready: should he be killed, it stops.
STARTER_VARIABLE = "STANDFAST_STARTER"
_SOURCE = Path(__file__).resolve().parents[3]


def command(*arguments: str) -> list[str]:
    """The words that run a Standfast command in another process.

    `-P` keeps the current folder off the module path: it may well hold a `models` folder of the user's own.
    """
    return [sys.executable, "-P", "-m", "standfast", *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with the code that runs here found by the other process too."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_SOURCE), *filter(None, others)])}


def log_file() -> Path:
    """Where a detached system logs; the one before is kept beside it."""
    return folder("logs") / "up.log"


def start_detached(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Starts `standfast up` in a session of its own, so that it outlives this terminal."""
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
    """The status once it says `ready` and every role has begun; blocks until then, telling what it waits for.

    Raises:
        ClusterError: the process ended first, says with which last words; or it runs, and something keeps ending.
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
    """Asks the supervisor to stop and waits until its lock is free; False if it is not by then.

    Nobody else is signalled: its pid may be another process's by now, which was started at another time.
    """
    try:
        handle = os.pidfd_open(running.supervisor_pid)
    except ProcessLookupError:
        return not status.is_running()
    try:
        if running.supervisor_started in {0, status.started_at(running.supervisor_pid)}:  # 0: an older version's
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return True  # it ended meanwhile
    finally:
        os.close(handle)
    deadline = time.monotonic() + within_s
    while status.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _written_by(pid: int) -> status.SystemStatus | None:
    """What this very supervisor wrote: an older one's file may still lie there. Leaves the lock alone."""
    try:
        running = msgspec.json.decode(status.status_file().read_bytes(), type=status.SystemStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return running if running.supervisor_pid == pid else None


def _last_words() -> str:
    lines = [line.strip() for line in log_file().read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["nothing was logged"])[-1].removeprefix("error: ")
