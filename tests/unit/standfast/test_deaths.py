"""A process that keeps ending is told from one that ended once; the status says which, since when and why."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from standfast.core import status
from standfast.core.errors import ClusterError
from standfast.core.processes import deaths, role_word
from standfast.core.processes.deaths import Deaths
from standfast.core.settings import Settings
from standfast.role import Role
from standfast.supervisor import Supervisor


def test_two_deaths_are_no_loop_and_three_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Deaths("stream")
    for _ in range(2):
        seen.started()
        seen.died("ValueError: x")
    assert (seen.failing, seen.since, seen.count) == ("", 0, 2)
    seen.started()
    seen.died("ValueError: y")
    assert seen.failing.startswith("stream keeps ending, 3 times since ")
    assert seen.failing.endswith("UTC: ValueError: y")
    assert abs(seen.since - time.time() * 1000) < 60_000
    monkeypatch.setattr(deaths, "_STEADY_S", 0.0)
    seen.started()
    assert (seen.failing, seen.since, seen.count) == ("", 0, 3)


@pytest.mark.usefixtures("state")
def test_a_role_that_cannot_even_be_imported_says_so_in_the_status(tmp_path: Path) -> None:
    """The system's state stayed `ready`, and the status did not name the role."""
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")

    async def watch() -> status.RoleStatus:
        role = Role("stream", "broken", {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])}, lambda: None)
        role.start()
        deadline = time.monotonic() + 120
        while not role.status().failing:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        ended = role.status()
        await role.stop(5)
        return ended

    ended = asyncio.run(watch())
    assert "No module named 'nothing_of_this_name'" in ended.failing
    assert ended.state != "running"
    assert ended.restarts >= 3
    assert ended.since > 0


@pytest.mark.usefixtures("state")
def test_what_a_role_says_is_heard_until_it_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDFAST_SLOT", "stream")
    assert not role_word.has_begun("stream")
    role_word.begun()
    role_word.ends("it was\nso")
    assert role_word.has_begun("stream")
    assert role_word.last_words("stream") == "it was so"
    role_word.forget("stream")
    assert not role_word.has_begun("stream")
    assert role_word.last_words("stream") == ""


class _Failing:
    """A fake role that keeps ending."""

    def status(self) -> status.RoleStatus:
        return status.RoleStatus(id="stream", pid=0, state="backing_off", failing="stream keeps ending: why", since=1)


@pytest.mark.usefixtures("state")
def test_a_system_whose_role_keeps_ending_is_degraded() -> None:
    supervisor = Supervisor(Settings(), (), (), embedded=False)
    supervisor._state = "ready"
    supervisor._roles._roles.append(_Failing())  # type: ignore[arg-type]
    system_status = supervisor._status()
    assert (system_status.state, system_status.detail) == ("degraded", "stream keeps ending: why")


@pytest.mark.usefixtures("state")
def test_a_console_that_cannot_be_served_is_told_and_degrades_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drills are refused on a degraded system, and its port may be taken by anything."""
    supervisor = Supervisor(Settings(), (), (), embedded=False)
    supervisor._state = "ready"
    why = "console keeps ending: the console cannot listen on 127.0.0.1:9466"
    failing = status.RoleStatus(id="console", pid=0, state="backing_off", failing=why)
    monkeypatch.setattr(supervisor._roles, "rows", lambda: [failing])
    system_status = supervisor._status()
    assert (system_status.state, system_status.detail, system_status.console_url) == ("ready", why, "")
    assert supervisor._has_begun(), "`up --detach` does not wait for it"


@pytest.mark.usefixtures("state")
def test_the_console_is_started_once_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    supervisor = Supervisor(Settings(), (), ("drills", "console"), embedded=False)
    monkeypatch.setattr(supervisor._roles, "_start", lambda name, _environment: started.append(name))
    supervisor._start_console()
    assert started == []
    supervisor._state = "ready"
    supervisor._start_console()
    supervisor._start_console()
    assert started == ["console"]


@pytest.mark.usefixtures("state")
def test_the_end_of_up_says_what_kept_ending() -> None:
    """Its exit code was 0 after a stream processor had ended of the same error for hours."""
    supervisor = Supervisor(Settings(), (), (), embedded=False)

    async def stopped() -> None:
        async def nothing() -> None:
            return

        supervisor._start = nothing  # type: ignore[method-assign]
        supervisor._role_rows = lambda: [_Failing().status()]  # type: ignore[method-assign]
        asyncio.get_running_loop().call_later(0.1, supervisor._stop.set)
        await asyncio.wait_for(supervisor._main(), 30)

    with pytest.raises(ClusterError, match="stream keeps ending: why") as ended:
        asyncio.run(stopped())
    assert ended.value.exit_code == 1


@pytest.mark.usefixtures("state")
def test_a_disk_that_takes_no_status_ends_no_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor(Settings(), (), (), embedded=False)

    def full(_status: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(status, "write", full)
        supervisor._changed()
    supervisor._changed()
    assert status.status_file().exists()


@pytest.mark.usefixtures("state")
def test_a_hang_up_stops_the_supervisor_in_order() -> None:
    supervisor = Supervisor(Settings(), (), (), embedded=False)

    async def hang_up() -> None:
        async def nothing() -> None:
            return

        supervisor._start = nothing  # type: ignore[method-assign]
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(supervisor._main(), 30)

    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        asyncio.run(hang_up())
    finally:
        signal.signal(signal.SIGHUP, before)
    assert supervisor._state == "stopping"


def test_one_that_hangs_for_long_each_time_keeps_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """A life of more than a minute does not count as steady if the process hung in it."""
    now = 1000.0
    monkeypatch.setattr(deaths.time, "monotonic", lambda: now)
    seen = Deaths("stream")
    for _ in range(3):
        seen.started()
        now += 65.0
        seen.idle(61.0)
        seen.died("it made no step for 61 s")
    assert seen.failing
    assert seen.last == "it made no step for 61 s"
    seen.started()
    now += 61.0
    assert not seen.failing
    assert seen.last == "it made no step for 61 s"
