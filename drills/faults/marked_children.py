"""Processes that a fault starts: they end with the process that started them, and another one finds them by a mark."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

from drills.faults.process_handle import ProcessHandle
from standfast.core.errors import DrillRejected
from standfast.core.processes.proc_stat import proc_stat

# Their parent holds the other end of their stdin; the kernel closes it however the parent ends. A signal at the
# parent's death would come at the end of the *thread* that started them, and a drill's thread may end before it.
_ENDS_WITH_PARENT = """
import os, sys, threading
def ends():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=ends, daemon=True).start()
"""
_TICKS = os.sysconf("SC_CLK_TCK")
_REAPED_WITHIN_S = 2.0


class MarkedChildren:
    """All processes of this machine whose command line has the mark, whoever started them."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, code: str, arguments: list[str]) -> None:
        """Starts a Python program; its `sys.argv` is the mark and the arguments, after `-c`. It may not read stdin."""
        command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_PARENT + code, self.mark, *arguments]
        self._started.append(subprocess.Popen(command, stdin=subprocess.PIPE))

    def pids(self) -> list[int]:
        """Those that run."""
        for child in self._started:
            child.poll()  # so that none stays a zombie
        return sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is_marked(folder))

    def processor_s(self) -> float:
        """The processor time that all have used."""
        return sum(_processor_s(pid) for pid in self.pids())

    def end(self) -> None:
        """Kills all."""
        for pid in self.pids():
            with contextlib.suppress(DrillRejected), contextlib.closing(ProcessHandle("a drill's own", pid)) as handle:
                if self._is_marked(Path(f"/proc/{pid}")):  # so the handle is of that process, and of no later one
                    handle.signal(SIGKILL)
        for child in self._started:
            if child.stdin is not None:
                child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_REAPED_WITHIN_S)

    def _is_marked(self, folder: Path) -> bool:
        try:
            return self.mark.encode() in (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended, or is another user's
            return False


def _processor_s(pid: int) -> float:
    try:
        return proc_stat(pid).ticks / _TICKS
    except OSError:
        return 0.0
