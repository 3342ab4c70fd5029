"""A running system whose processes are sleeping children of the test, for faults: what they do to processes is real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core import status
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import RoleStatus, SystemStatus, WorkerStatus

SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))
_LOOPS = """
import sys, time
from consumers.channel.loop_steps import LoopSteps, loop_file
from standfast.core.home import folder
steps = LoopSteps(loop_file(folder("run", "slots"), sys.argv[1]))
steps.reset()
steps.step()
print(flush=True)
while True:
    steps.step()
    time.sleep(0.02)
"""


class PaperSystem:
    """Two workers of `search`, a standby, a role of each kind, a nursery and, as their supervisor, the test itself."""

    def __init__(self) -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        roles = [RoleStatus(id=name, pid=self.child(), state="running") for name in ("stream", "profiles")]
        self.nursery = self.child("search-nursery")
        rows = [self._row("search-0", [0, 1]), self._row("search-1", [2]), self._row("standby", [])]
        self.status = SystemStatus(
            state="ready",
            at=0,
            supervisor_pid=os.getpid(),
            bootstrap_servers="",
            metrics_url="",
            workers=rows,
            roles=roles,
        )
        self.system = RunningSystem(SETTINGS, service("search", SETTINGS))

    def child(self, name: str = "paper") -> int:
        """The pid of a new process of this name, which waits; a shell starts sooner than Python does."""
        script = 'printf %s "$0" > /proc/$$/comm; echo; read _'
        made = subprocess.Popen(["/bin/sh", "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.children.append(made)
        assert made.stdout is not None
        made.stdout.readline()
        return made.pid

    def looping(self, name: str = "search-0", slot: str = "slot-0") -> int:
        """Has the worker be a process whose loop makes steps, as a real worker's does; returns its pid."""
        made = subprocess.Popen([sys.executable, "-c", _LOOPS, slot], stdout=subprocess.PIPE)
        self.children.append(made)
        assert made.stdout is not None
        made.stdout.readline()
        self.change_worker(name, pid=made.pid)
        return made.pid

    def suffering(self, name: str = "search-0", slot: str = "slot-0", check_s: float = 60) -> int:
        """Has the worker be a process with a model and its guards (`tests.support.suffering`); returns its pid."""
        words = [sys.executable, "-m", "tests.support.suffering", slot, str(check_s)]
        made = subprocess.Popen(words, stdout=subprocess.PIPE)
        self.children.append(made)
        assert made.stdout is not None
        made.stdout.readline()
        self.change_worker(name, pid=made.pid)
        return made.pid

    def worker(self, name: str = "search-0") -> WorkerStatus:
        """The row of a worker."""
        return next(row for row in self.status.workers if row.id == name)

    def change_worker(self, name: str = "search-0", **changes: object) -> None:
        """Changes the row of a worker in the status."""
        rows = [msgspec.structs.replace(row, **changes) if row.id == name else row for row in self.status.workers]
        self.change(workers=rows)

    def change_role(self, name: str, **changes: object) -> None:
        """Changes the row of a role in the status."""
        rows = [msgspec.structs.replace(row, **changes) if row.id == name else row for row in self.status.roles]
        self.change(roles=rows)

    def change(self, **changes: object) -> None:
        """Changes the status."""
        self.status = msgspec.structs.replace(self.status, **changes)

    def replace_worker(self, name: str = "search-0", *, killed: bool = True) -> int:
        """Has another process serve under the worker's identity; returns its pid."""
        old, pid = self.worker(name), self.child()
        if killed:
            self.end(old.pid)
        self.change_worker(name, pid=pid, restarts=old.restarts + 1)
        return pid

    def end(self, pid: int) -> None:
        """Kills one of the processes and returns when it has ended."""
        child = next(child for child in self.children if child.pid == pid)
        child.kill()
        child.wait()

    def _row(self, name: str, owned: list[int]) -> WorkerStatus:
        return WorkerStatus(
            id=name,
            pid=self.child(),
            service="search",
            group="x.standfast-search",
            role="active" if owned else "standby",
            state="serving" if owned else "ready",
            partitions={"x.search.requests": owned} if owned else {},
        )


@contextmanager
def paper_system(patch: pytest.MonkeyPatch) -> Iterator[PaperSystem]:
    """The system, whose status is the one that `standfast.core.status` reads; its processes end with the block."""
    made = PaperSystem()
    patch.setattr(status, "read", lambda: made.status)
    try:
        yield made
    finally:
        for child in made.children:
            child.kill()
            child.communicate()
