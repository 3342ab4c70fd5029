"""A supervisor without a system: it holds the lock, writes the status, and has one worker, which dies with it.

Run as `python -m tests.support.paper_supervisor`. Its status tells its folder and the variable `MARK` in `detail`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from standfast.core import status
from standfast.core.processes.child import start_child


def main() -> None:
    lock = os.open(status.lock_file(), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    worker = start_child(["/bin/sleep", "600"], signal.SIGKILL, None)
    row = status.WorkerStatus(
        id="search-0",
        pid=worker.pid,
        service="search",
        group="x.standfast-search",
        role="active",
        state="serving",
        partitions={"x.search.requests": [0, 1]},
    )
    status.write(
        status.SystemStatus(
            state="ready",
            at=int(time.time() * 1000),
            supervisor_pid=os.getpid(),
            supervisor_started=status.started_at(os.getpid()),
            bootstrap_servers="",
            metrics_url="",
            workers=[row],
            detail=f"{Path.cwd()} {os.environ.get('MARK')}",
        )
    )
    sys.stderr.write("written\n")
    sys.stderr.flush()
    signal.pause()


if __name__ == "__main__":
    main()
