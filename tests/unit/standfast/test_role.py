"""A role that hangs is killed and restarted, and ends when it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from standfast.role import Role

_SLEEPER = "import time\ntime.sleep(600)\n"


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.02)


def test_a_stopped_role_is_killed_and_started_again_and_does_not_hold_up_the_end(state: Path) -> None:
    state.mkdir(exist_ok=True)
    (state / "sleeper.py").write_text(_SLEEPER)

    async def life() -> None:
        role = Role("sleeper", "sleeper", {"PYTHONPATH": str(state)}, lambda: None)
        role.start()
        first = role.status().pid
        os.kill(first, signal.SIGSTOP)
        await until(lambda: role.status().pid not in {0, first}, "another process")
        os.kill(role.status().pid, signal.SIGSTOP)
        await role.stop(within_s=0.5)
        assert not role.status().pid or not Path(f"/proc/{role.status().pid}").exists()

    asyncio.run(life())


def test_a_role_whose_end_could_not_be_noticed_is_not_left_beside_another(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no descriptor left for the pidfd the process lived on, and a second one was started beside it."""
    state.mkdir(exist_ok=True)
    (state / "sleeper.py").write_text(_SLEEPER)
    opened, pids = os.pidfd_open, list[int]()

    def first_fails(pid: int) -> int:
        pids.append(pid)
        if len(pids) == 1:
            raise OSError(24, "Too many open files")
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", first_fails)

    async def life() -> None:
        role = Role("sleeper", "sleeper", {"PYTHONPATH": str(state)}, lambda: None)
        role.start()
        assert "Too many open files" in role.status().ended
        await until(lambda: role.status().pid != 0, "another process")
        assert not Path(f"/proc/{pids[0]}").exists()
        assert role.status().pid == pids[1]
        await role.stop(within_s=0.5)

    asyncio.run(life())
