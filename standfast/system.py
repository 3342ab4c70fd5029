"""`standfast up`: one supervisor per state folder, in the foreground until it is told to stop."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from consumers.profiles import bulletin
from standfast import logs, status, telemetry
from standfast.errors import ClusterError
from standfast.home import folder, home
from standfast.settings import Settings

ROLES = ("profiles", "stream", "drills")
SERVICES = ("search", "recommend")
_LOCK_TRIES = 10


def run(
    settings: Settings,
    services: tuple[str, ...] = SERVICES,
    roles: tuple[str, ...] = ROLES,
    embedded: bool = True,
) -> None:
    """Runs the system until SIGTERM or Ctrl-C, then stops everything in order.

    Args:
        services: whose workers are run here.
        roles: which of `profiles`, `stream` and `drills` are run here.
        embedded: start an own Kafka unless the settings name one.

    Raises:
        ClusterError: a system runs on this state folder already, or Kafka does not start.
    """
    logs.configure(settings.log, "supervisor")
    with _only_one():
        metrics = folder("run", "metrics")
        shutil.rmtree(metrics)
        telemetry.share(metrics, "supervisor")
        bulletin.forget()
        from standfast.supervisor import Supervisor

        Supervisor(settings, services, roles, embedded).run()


@contextmanager
def _only_one() -> Iterator[None]:
    """Holds the lock that says a supervisor lives on this state folder; the kernel lets go of it however we end."""
    descriptor = os.open(status.lock_file(), os.O_RDWR | os.O_CREAT, 0o644)
    if not _locked(descriptor):
        running = status.read()
        pid = f" (pid {running.supervisor_pid})" if running else ""
        os.close(descriptor)
        raise ClusterError(
            f"a system is running on {home()} already{pid}; `standfast status` shows it, `standfast down` stops it"
        )
    status.status_file().unlink(missing_ok=True)
    try:
        yield
    finally:
        status.status_file().unlink(missing_ok=True)
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Tries for a moment: `standfast status` takes the lock for an instant to see whether it is held."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False
