"""Where the demo takes place: a system of its own in a temporary state folder, gone when the demo is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.core.processes.child import start_child

_FOREIGN = ("KAFKA_", "STANDFAST_", "SCHEMA_REGISTRY_URL")
_STOP_WITHIN_S = 60.0
_LAST_LINES = 15


@contextmanager
def stage(on_detail: Callable[[str], None], on_failure: Callable[[str], None]) -> Iterator[None]:
    """A running system with default settings; inside, this process's commands find it as any user's would.

    Args:
        on_detail: told what the start is waiting for.
        on_failure: told the last lines of the system's log, which is gone with its folder.

    Raises:
        ClusterError: the system did not start.
    """
    with _interrupted_by_sigterm(), _own_surroundings():
        log = launching.log_file()
        process = start_child(launching.command("up"), signal.SIGTERM, log)
        try:
            launching.wait_ready(process, on_detail)
            yield
        except ClusterError:
            on_failure("\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:]))
            raise
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave the folder behind
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its children die with it
        process.wait()


@contextmanager
def _own_surroundings() -> Iterator[None]:
    """A temporary state folder, which is the current folder too: no settings of the user's reach the demo."""
    before, where = dict(os.environ), Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="standfast-demo-"))
    try:
        for name in before:
            if name.startswith(_FOREIGN):
                del os.environ[name]
        os.environ.update(launching.environment())
        os.environ.update({"STANDFAST_HOME": str(folder), "STANDFAST_METRICS__PORT": "0"})
        os.chdir(folder)
        yield
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Makes SIGTERM end the demo as Ctrl-C does: with everything cleared away."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    terminated, interrupted = signal.signal(signal.SIGTERM, interrupt), signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGINT, interrupted)
