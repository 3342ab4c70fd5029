"""Brokers that outlived their supervisor: one that was stopped when it was killed does not see the signal to end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from standfast.kafka.broker import holder

_POLL_S = 0.05


def end(folder: Path, within_s: float = 10.0) -> list[int]:
    """Ends every process that holds a broker's data below the folder, by force after `within_s` seconds; their pids."""
    ended = []
    for data in sorted(folder.glob("node-*/data")):
        pid = holder(data)
        if pid is not None and pid > 0:
            _end(data, pid, within_s)
            ended.append(pid)
    return ended


def _end(data: Path, pid: int, within_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            if holder(data) != pid:  # it ended, and its pid may be another's
                return
            signal.pidfd_send_signal(process, signal.SIGTERM)
            signal.pidfd_send_signal(process, signal.SIGCONT)
            deadline = time.monotonic() + within_s
            while holder(data) == pid and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            if holder(data) == pid:
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
