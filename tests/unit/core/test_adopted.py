"""A child that somebody else started is waited for, signalled and asked as one's own, also after others reaped it."""

from __future__ import annotations

import os
import signal

import pytest

from standfast.core.processes.adopted import AdoptedProcess, exit_status
from tests.waiting import wait_until


def sleeper() -> AdoptedProcess:
    return AdoptedProcess(os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ))


def test_it_is_polled_and_killed() -> None:
    process = sleeper()
    assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_one_whose_status_was_read_by_somebody_else_is_signalled_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pid may be another process's by then."""
    process = sleeper()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: exit_status(process.pid) is not None, what="its end")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    process.kill()
    process.terminate()
    assert process.poll() == 0
    assert process.wait() == 0
