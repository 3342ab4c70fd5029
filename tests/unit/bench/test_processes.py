"""No process that a benchmark starts outlives it, and each is pinned to its core."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import cores as layout
from bench import processes
from tests.waiting import wait_until

# A process that ignores SIGTERM, with a child process and a second thread; prints a line when it has both.
STUBBORN = """
import signal, subprocess, sys, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("there", flush=True)
time.sleep(600)
"""


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    yield child
    for pid in processes.family(child.pid):
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)
    child.wait()
    child.stdout.close()


def test_a_family_is_the_process_and_all_it_started(stubborn: subprocess.Popen[str]) -> None:
    family = processes.family(stubborn.pid)
    assert family[0] == stubborn.pid
    assert len(family) == 2
    assert processes.parent(family[1]) == stubborn.pid
    assert set(family) < set(processes.family(os.getpid()))


def test_who_ignores_a_polite_request_is_killed_with_all_it_started(stubborn: subprocess.Popen[str]) -> None:
    family = processes.family(stubborn.pid)
    processes.end(family, 0.2)
    assert stubborn.wait(10) == -9
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), what="a family that is gone")


def test_ending_what_has_gone_is_no_error(stubborn: subprocess.Popen[str]) -> None:
    family = processes.family(stubborn.pid)
    processes.end(family, 0.2)
    stubborn.wait(10)
    processes.end(family, 0.2)
    assert processes.memory_mb(family) == 0


def test_every_thread_is_moved_to_the_core(stubborn: subprocess.Popen[str]) -> None:
    cores = sorted(os.sched_getaffinity(0))
    layout.pin([stubborn.pid], cores[-1])
    threads = [int(path.name) for path in Path(f"/proc/{stubborn.pid}/task").iterdir()]
    assert len(threads) >= 2
    assert all(os.sched_getaffinity(thread) == {cores[-1]} for thread in threads)


def test_one_core_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5})
    cores = layout.layout()
    assert (cores.model, cores.rest) == (None, None)
    assert "nothing is pinned" in str(cores)


def test_a_process_costs_memory_and_time(stubborn: subprocess.Popen[str]) -> None:
    assert processes.memory_mb([stubborn.pid]) > 1
    assert 0 < processes.cpu_seconds([stubborn.pid]) < processes.machine_seconds()
