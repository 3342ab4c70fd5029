"""Asking whether a system runs changes nothing, and finds no process but the supervisor."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from standfast import system
from standfast.core import status
from standfast.core.errors import ClusterError
from standfast.core.processes import launching, parent_death
from tests.waiting import wait_until


def _written(pid: int, started: int) -> status.SystemStatus:
    written = status.SystemStatus(
        state="ready", at=0, supervisor_pid=pid, supervisor_started=started, bootstrap_servers="", metrics_url=""
    )
    status.write(written)
    return written


@pytest.mark.usefixtures("state")
def test_readers_never_take_each_other_for_a_supervisor() -> None:
    """With an exclusive lock in readers, 221 of 12,000 polls of two readers found a dead system ready."""
    _written(1, 0)
    seen: list[status.SystemStatus | None] = []
    readers = [threading.Thread(target=lambda: seen.extend(status.read() for _ in range(500))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(seen) == 2000
    assert not any(seen)


@pytest.mark.usefixtures("state")
def test_a_system_starts_while_it_is_asked_for_and_no_older_ones_status_is_read_as_its_own() -> None:
    _written(1, 0)
    polls, stop = [0, 0], threading.Event()
    seen: list[status.SystemStatus] = []

    def ask(reader: int) -> None:
        while not stop.is_set():
            polls[reader] += 1
            if (running := status.read()) is not None:
                seen.append(running)

    readers = [threading.Thread(target=ask, args=(reader,)) for reader in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            _written(1, 0)
            with system._only_one():
                assert status.is_running()
                assert status.read() is None
            assert not status.is_running()
            # Each reader must begin a new read now: one that saw the lock held would accept a status written after it.
            before = list(polls)
            wait_until(lambda at=before: all(now > then + 1 for now, then in zip(polls, at, strict=True)), 30)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not seen


@pytest.mark.usefixtures("state")
def test_a_second_system_is_refused() -> None:
    with system._only_one(), pytest.raises(ClusterError, match="already"), system._only_one():
        raise AssertionError("two at once")


@pytest.mark.usefixtures("state")
def test_down_signals_nobody_who_got_the_pid_later() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        running = _written(stranger.pid, status.started_at(stranger.pid) - 1)
        with status.lock_file().open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert not launching.stop(running, within_s=0.2)
        assert stranger.poll() is None
        launching.stop(_written(stranger.pid, status.started_at(stranger.pid)), within_s=5)
        assert stranger.wait(10) == -signal.SIGTERM


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("content", [b"", b'{"state": "rea', b"\xff\x00"])
def test_a_damaged_status_is_no_status(content: bytes) -> None:
    status.status_file().write_bytes(content)
    with status.lock_file().open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert status.read() is None


def test_a_process_is_named_by_its_start() -> None:
    assert status.started_at(os.getpid()) > 0
    assert status.started_at(2**22 + 1) == 0


def test_a_program_is_not_begun_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    """Then the program asks for the parent-death signal too late and would live on for ever."""
    begun = tmp_path / "begun"
    for parent, code in ((os.getpid(), 0), (os.getppid(), 1)):
        begun.unlink(missing_ok=True)
        words = [sys.executable, "-I", "-S", parent_death.__file__, str(parent), str(int(signal.SIGTERM))]
        done = subprocess.run([*words, shutil.which("touch") or "", str(begun)], check=False)
        assert (done.returncode, begun.exists()) == (code, code == 0)


def test_what_start_child_begins_dies_with_who_began_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "said"
    program = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    starter = (
        "import signal, sys, time\n"
        "from standfast.core.processes.child import start_child\n"
        f"start_child([sys.executable, '-c', {program!r}], signal.SIGKILL, None)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text()))
        handle = os.pidfd_open(pid)
        process.kill()
    ready, _, _ = select.select([handle], [], [], 30.0)
    os.close(handle)
    assert ready


def test_a_child_dies_with_who_waits_for_it_until_it_is_cut_loose(tmp_path: Path) -> None:
    """`up --detach` was killed, and the system started nevertheless."""
    program = (
        "import os, signal, sys, time\n"
        "from standfast.core.processes.parent_death import untie_from_parent, tie_to_parent\n"
        "tie_to_parent(int(sys.argv[1]), signal.SIGTERM)\n"
        "if sys.argv[2] == 'loose': untie_from_parent()\n"
        "open(sys.argv[3], 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    starter = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([*sys.argv[1:4], str(os.getpid()), *sys.argv[4:]]); time.sleep(60)\n"
    )
    words = launching.command()[:2]
    for how, survives in (("tied", False), ("loose", True)):
        pid_file = tmp_path / how
        command = [*words, "-c", starter, *words[:1], "-c", program, how, str(pid_file)]
        with subprocess.Popen(command, env=launching.environment()) as process:
            deadline = time.monotonic() + 60
            while not (pid_file.exists() and pid_file.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            pid = int(pid_file.read_text())
            handle = os.pidfd_open(pid)
            process.kill()
            process.wait()
        ready, _, _ = select.select([handle], [], [], 1.0 if survives else 30.0)
        assert bool(ready) is not survives
        if survives:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
