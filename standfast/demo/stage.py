"""The demo's own system, in a temporary state folder that is deleted at the end."""

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
def demo_system(on_detail: Callable[[str], None], on_failure: Callable[[str], None]) -> Iterator[None]:
    """Runs a system with default settings; inside the block, commands of this process find it.

    Args:
        on_detail: called with what the start is waiting for.
        on_failure: called with the last lines of the system's log, which is deleted with the folder.

    Raises:
        ClusterError: the system did not start.
    """
    with _interrupted_by_sigterm(), _own_environment():
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would skip the deletion of the folder
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its children get the parent-death signal
        process.wait()


@contextmanager
def _own_environment() -> Iterator[None]:
    """Makes a temporary folder the state folder and the current folder, so that no user's settings reach the demo."""
    variables, current = dict(os.environ), Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="standfast-demo-"))
    try:
        for name in variables:
            if name.startswith(_FOREIGN):
                del os.environ[name]
        os.environ.update(launching.environment())
        os.environ.update({"STANDFAST_HOME": str(folder)})
        os.environ.update({"STANDFAST_METRICS__PORT": "0", "STANDFAST_CONSOLE__PORT": "0"})
        os.chdir(folder)
        yield
    finally:
        os.chdir(current)
        os.environ.clear()
        os.environ.update(variables)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Makes SIGTERM end the demo as Ctrl-C does: the system is stopped and its folder deleted."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    sigterm_handler, sigint_handler = signal.signal(signal.SIGTERM, interrupt), signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, sigterm_handler)
        signal.signal(signal.SIGINT, sigint_handler)
