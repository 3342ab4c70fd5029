"""Ends brokers that outlived their supervisor: a broker that is stopped (SIGSTOP) does not act on its SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from standfast.kafka.broker import holder

_POLL_S = 0.05


def end(folder: Path, within_s: float = 10.0) -> list[int]:
    """Ends every process that holds a broker's data below the folder; returns their pids.

    Sends SIGTERM and SIGCONT, and SIGKILL after `within_s` seconds.
    """
    ended = []
    for data in sorted(folder.glob("node-*/data")):
        pid = holder(data)
        if pid is not None and pid > 0:
            _end(data, pid, within_s)
            ended.append(pid)
    return ended


def _end(data: Path, pid: int, within_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if holder(data) != pid:  # the broker ended meanwhile, and its pid may be reused
                return
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            deadline = time.monotonic() + within_s
            while holder(data) == pid and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            if holder(data) == pid:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
