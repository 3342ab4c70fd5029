"""A program that waits for a supervisor's death and then becomes the same supervisor again, in a session of its own.

A drill starts it before it kills the supervisor, with the supervisor's environment and folder. It outlives everything
that dies with the supervisor, and the drill. It runs without our packages on the path (`python -I -S`), so this module
imports none of them.

Arguments: the supervisor's pid and start time, how many seconds it is to be away, the file of its lock, a file whose
appearance ends the wait, the log, and the command line.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from pathlib import Path

_ARMED_S = 10.0  # for the supervisor to be killed; after that the drill has died, and nothing is started
_POLL_S = 0.05


def main(pid: int, started: int, down_s: float, lock: Path, now: Path, log: Path, command: list[str]) -> None:
    """Does all of that; writes `armed` to stdout once it waits. Returns if there is nothing to start."""
    descriptor = os.pidfd_open(pid)
    if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) != started:
        return
    if os.fork():
        os._exit(0)  # so that nobody who waits for children, and no signal at a parent's death, ever meets this process
    os.setsid()
    _say_armed(log)
    dies = select.poll()
    dies.register(descriptor, select.POLLIN)
    if not dies.poll(_ARMED_S * 1000):
        return
    deadline = time.monotonic() + down_s
    while not (runs := _runs(lock)) and time.monotonic() < deadline and not now.exists():
        time.sleep(_POLL_S)
    if armed(now).exists() and not runs:
        os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command line


def armed(now: Path) -> Path:
    """The file without which nothing is started: it is deleted where the supervisor was not killed after all."""
    return now.with_suffix(".armed")


def _say_armed(log: Path) -> None:
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(1, b"armed\n")
    for stream in (1, 2):
        os.dup2(opened, stream)
    os.close(opened)


def _runs(lock: Path) -> bool:
    """Whether a supervisor holds the lock: somebody else has started one meanwhile."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    _pid, _started, _down_s, _lock, _now, _log, *_command = sys.argv[1:]
    main(int(_pid), int(_started), float(_down_s), Path(_lock), Path(_now), Path(_log), _command)
