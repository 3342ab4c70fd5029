"""Java's compiler on Linux: it is to use what is left of a core, and to yield to whoever answers.

For minutes after a start C2 takes a fifth to a third of a core. At the same priority whoever answers waits for it,
where they share that core: measured with both on one, 1.5 times as many recommendations a second in the first minute
with it at the lowest, and one in flight at p99 11 ms instead of 16. It was not starved: as long as requests come in
bursts there are gaps, and it was done sooner.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_NAME = "C2 Compiler"  # the kernel keeps 15 characters of "C2 CompilerThread0"
_LOWEST = 19
_THREADS = Path("/proc/self/task")
_POLL_S, _APPEARS_S = 0.05, 10.0


def lower_priority(pid: int) -> None:
    """Sees to it from a thread of its own, as soon as that Java process has its compiler. Later threads inherit it."""
    if _THREADS.is_dir():
        threading.Thread(target=_wait_and_lower, args=(pid,), name="compiler", daemon=True).start()


def compiler_threads(pid: int) -> list[int]:
    """The threads of that process that compile in full; raises OSError if it is gone."""
    return [int(at.name) for at in Path(f"/proc/{pid}/task").iterdir() if _command(at).startswith(_NAME)]


def _wait_and_lower(pid: int) -> None:
    until = time.monotonic() + _APPEARS_S
    try:
        while not (found := compiler_threads(pid)) and time.monotonic() < until:
            time.sleep(_POLL_S)
        for thread in found:
            os.setpriority(os.PRIO_PROCESS, thread, _LOWEST)
    except OSError:  # it has ended, which whoever watches it finds out
        return


def _command(thread: Path) -> str:
    try:
        return (thread / "comm").read_text()
    except OSError:  # this thread has ended meanwhile
        return ""
