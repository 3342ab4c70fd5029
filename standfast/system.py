"""`standfast up`: one supervisor per state folder, in the foreground until SIGTERM, SIGHUP or Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from consumers.following import bulletin
from consumers.versions import notes
from standfast.core import logs, status, surroundings, telemetry
from standfast.core.errors import ClusterError, SettingsError
from standfast.core.home import folder, home
from standfast.core.security import security
from standfast.core.services import NAMES
from standfast.core.settings import Settings

_log = structlog.get_logger()
ROLES = ("profiles", "catalogue", "models", "stream", "drills", "agent", "console")
_LOCK_S = 10.0


def run(
    settings: Settings,
    services: tuple[str, ...] = NAMES,
    roles: tuple[str, ...] = ROLES,
    embedded: bool = True,
) -> None:
    """Runs the system until SIGTERM, SIGHUP or Ctrl-C, then stops everything in order.

    Args:
        services: the services whose workers run here.
        roles: which of `ROLES` run here; `console` only if it is enabled.
        embedded: start the embedded Kafka unless the settings name an existing one.

    Raises:
        ClusterError: a system runs on this state folder already, or Kafka does not start.
        SettingsError: the embedded Kafka or the stream processor does not support these security settings.
    """
    logs.configure(settings.log, "supervisor")
    _check_security(settings, roles, embedded)
    _log.info("variables of other programs are not passed on", names=" ".join(surroundings.DROPPED))
    with _only_one():
        metrics = folder("run", "metrics")
        shutil.rmtree(metrics)
        telemetry.share(metrics, "supervisor")
        for name in ("profiles", "catalogue", "models"):
            bulletin.forget(name)
        notes.forget()
        from standfast.supervisor import Supervisor

        Supervisor(settings, services, roles, embedded).run()


def _check_security(settings: Settings, roles: tuple[str, ...], embedded: bool) -> None:
    """Raises SettingsError for security settings with which a role would be restarted for ever, or wait for ever."""
    wanted = settings.kafka.client_settings
    protocol = wanted.get("security.protocol", "PLAINTEXT").upper()
    if embedded and not settings.kafka.bootstrap_servers and protocol != "PLAINTEXT":
        raise SettingsError(
            f"security.protocol = {protocol}, and the embedded Kafka knows PLAINTEXT only; name an existing one in "
            "KAFKA_BOOTSTRAP_SERVERS, or unset KAFKA_SECURITY_PROTOCOL"
        )
    if settings.drills.network and (settings.kafka.bootstrap_servers or not embedded):
        raise SettingsError(
            "drills.network = true, and KAFKA_BOOTSTRAP_SERVERS names an existing Kafka, whose brokers tell clients "
            "their own addresses and not a proxy's; unset one of the two"
        )
    if settings.drills.authorizer and (settings.kafka.bootstrap_servers or not embedded):
        raise SettingsError(
            "drills.authorizer = true, and KAFKA_BOOTSTRAP_SERVERS names an existing Kafka, whose own configuration "
            "says whether it has an authorizer; unset drills.authorizer: drills use the one that Kafka has"
        )
    if "stream" in roles:
        security(wanted, "the stream processor's clients")


@contextmanager
def _only_one() -> Iterator[None]:
    """Holds the lock that marks the state folder as used by a supervisor; the kernel releases it however we end.

    The last supervisor's status file is deleted before the lock is taken, under a second lock for starting. A reader
    who finds the lock held would otherwise read a dead system's status and pid.
    """
    with status.lock_file().with_name("starting.lock").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if status.is_running():
            raise _already()
        status.status_file().unlink(missing_ok=True)
        descriptor = _locked()
    try:
        yield
    finally:
        status.status_file().unlink(missing_ok=True)
        os.close(descriptor)


def _locked() -> int:
    """The descriptor that holds the lock. Tries for 10 s: `status.is_running` takes it for an instant to test it."""
    descriptor = os.open(status.lock_file(), os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise _already() from None
            time.sleep(0.01)
        else:
            return descriptor


def _already() -> ClusterError:
    running = status.read()
    pid = f" (pid {running.supervisor_pid})" if running else ""
    return ClusterError(
        f"a system is running on {home()} already{pid}; `standfast status` shows it, `standfast down` stops it"
    )
