"""Roles are forked from a nursery that has their imports; whatever happens to it, each role is started exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from standfast.core.processes.adopted import AdoptedProcess
from standfast.core.processes.parent_death import _prctl, adopt_orphans
from standfast.role_launcher import RoleLauncher, RoleProcess
from standfast.role_nursery import StartRole
from tests.waiting import wait_until

_TELLS = """
import os, pathlib, signal, sys, time
words = (
    os.getppid(), os.getpgid(0) == os.getpid(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    "drills" in sys.modules, *sys.argv[1:],
)
if len(sys.argv) > 2:
    os.write(int(sys.argv[-1]), b"written by the role")
pathlib.Path(os.environ["TOLD"], str(os.getpid())).write_text(" ".join(map(str, words)))
if os.environ.get("EXIT"):
    sys.exit(int(os.environ["EXIT"]))
time.sleep(600)
"""


@pytest.fixture
def told(state: Path, tmp_path: Path) -> Iterator[Path]:
    """Where each process of the module `tells` writes a file of its pid; this process adopts orphans meanwhile."""
    adopt_orphans()
    (tmp_path / "tells.py").write_text(_TELLS)
    (tmp_path / "told").mkdir()
    yield tmp_path / "told"
    _prctl(36, 0)


def environment(told: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{told.parent}:{Path.cwd()}", "TOLD": str(told), **more}


def start(launcher: RoleLauncher, told: Path, **more: str) -> tuple[RoleProcess, list[str]]:
    """Starts the role; returns it with what its process told."""
    process = launcher.start("tells", "tells", environment(told, **more))
    file = told / str(process.pid)
    wait_until(lambda: file.exists() and file.read_text() != "", what="the process to tell")
    return process, file.read_text().split()


def life(told: Path, steps: Callable[[RoleLauncher], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the steps with a nursery that finds the module, and ends it."""
    monkeypatch.setenv("PYTHONPATH", f"{told.parent}:{Path.cwd()}")

    async def run() -> None:
        launcher = RoleLauncher(("drills.__main__",))
        launcher.begin()
        await launcher.ready(60)
        try:
            await steps(launcher)
        finally:
            launcher.close()

    asyncio.run(run())


def test_a_role_is_the_supervisors_own_child_in_a_group_of_its_own(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(launcher: RoleLauncher) -> None:
        process, words = start(launcher, told)
        assert isinstance(process, AdoptedProcess)
        assert words == [str(os.getpid()), "True", "True", "True"]
        assert Path(f"/proc/{process.pid}/comm").read_text().strip() == "tells"
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        ended, _ = start(launcher, told, EXIT="3")
        assert ended.wait() == 3
        launcher.close()
        assert not Path(f"/proc/{ended.pid}").exists(), "nobody is left as a zombie"

    life(told, steps, monkeypatch)


def test_a_role_inherits_a_descriptor_and_nobody_else_keeps_it(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nursery's channel must be closed when the nursery ends: by that the supervisor notices."""

    async def steps(launcher: RoleLauncher) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                order = StartRole("tells", "tells", environment(told, EXIT="0"), ["one"])
                process = launcher.fork(order, theirs.fileno())
            assert process is not None
            assert process.wait() == 0
            assert process.poll() == 0
            ours.settimeout(10)
            assert ours.recv(100) == b"written by the role"
            assert ours.recv(100) == b"", "no other process has it"
        words = (told / str(process.pid)).read_text().split()
        assert words[4] == "one"
        assert words[5].isdecimal()

    life(told, steps, monkeypatch)


def test_a_role_does_not_run_a_module_that_its_nursery_has_imported_twice(
    told: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """runpy warned of it in the log of every start."""

    async def steps(launcher: RoleLauncher) -> None:
        process = launcher.fork(StartRole("drills", "drills", environment(told, STANDFAST_KAFKA__WRONG="1")))
        assert process is not None
        assert process.wait() != 0

    life(told, steps, monkeypatch)
    assert "RuntimeWarning" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_without_its_nursery_a_role_is_started_once_as_a_program(
    told: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    async def steps(launcher: RoleLauncher) -> None:
        assert launcher._process is not None
        nursery = launcher._process.pid
        os.kill(nursery, number)
        process, words = start(launcher, told)
        assert not isinstance(process, AdoptedProcess)
        assert words[0] == str(os.getpid())
        await launcher.ready(60)
        next_one, _ = start(launcher, told)
        assert isinstance(next_one, AdoptedProcess), "there is another nursery"
        assert {int(file.name) for file in told.iterdir()} == {process.pid, next_one.pid}
        for role in (process, next_one):
            role.kill()
            role.wait()

    life(told, steps, monkeypatch)


def test_a_role_whose_supervisor_has_given_up_waiting_ends_at_once(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nursery that was stopped for longer than its supervisor waits goes on with the order that it had."""

    async def steps(launcher: RoleLauncher) -> None:
        assert launcher._process is not None
        nursery = launcher._process.pid
        monkeypatch.setattr(launcher, "_replace", lambda: None)
        os.kill(nursery, signal.SIGSTOP)
        process, _ = start(launcher, told)
        os.kill(nursery, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{nursery}/task/{nursery}/children").read_text(), what="no child")
        time.sleep(0.2)
        assert [file.name for file in told.iterdir()] == [str(process.pid)]
        process.kill()
        process.wait()

    life(told, steps, monkeypatch)


def test_while_the_nursery_still_imports_a_role_is_started_as_a_program(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        launcher = RoleLauncher(("drills.__main__",))
        launcher.begin()
        process, _ = start(launcher, told)
        assert not isinstance(process, AdoptedProcess)
        process.kill()
        process.wait()
        launcher.close()

    asyncio.run(run())
