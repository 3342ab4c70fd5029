"""Two hosts that serve the same topics: two supervisors with their own processes, and a Kafka outside of both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.environment import new_home
from bench.system_process import OWN_SYSTEM, SystemProcess
from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus
from standfast.kafka.cluster import Cluster

_SESSION_MS = 1000  # what docs/sre.md recommends for several hosts


@dataclass(frozen=True, slots=True)
class TwoHosts(RunningSystem):
    """Both hosts as one system; `control` is that of the host to be struck."""

    hosts: tuple[SystemProcess, ...] = ()

    def status(self) -> SystemStatus:
        """The statuses of the hosts that run, merged; raises ClusterError if neither runs."""
        statuses = [status for host in self.hosts if (status := host.status())]
        if not statuses:
            raise ClusterError("neither host runs")
        workers = [worker for status in statuses for worker in status.workers]
        roles = [role for status in statuses for role in status.roles]
        return msgspec.structs.replace(statuses[0], workers=workers, roles=roles)


@contextmanager
def two_hosts(settings: Settings, name: str, home: Path, module: str = OWN_SYSTEM) -> Iterator[TwoHosts]:
    """Both hosts, ready, each with all workers and standbys of the settings and the models of `home`."""
    with Cluster(1, home.parent / "kafka") as cluster, contextlib.ExitStack() as exit_stack:
        servers = cluster.bootstrap_servers
        hosts = tuple(
            SystemProcess(_on(settings, host), name, new_home(home, f"host-{host}"), module, servers)
            for host in ("a", "b")
        )
        for host in hosts:
            exit_stack.callback(host.stop)
            host.start()
        located, _ = (host.ready() for host in hosts)
        yield TwoHosts(located, service(name, located), hosts[0], hosts)


def _on(settings: Settings, host: str) -> Settings:
    workers = settings.workers.model_copy(update={"host": host, "session_timeout_ms": _SESSION_MS})
    kafka = settings.kafka.model_copy(update={"brokers": 1, "replication": 0})
    return settings.model_copy(update={"workers": workers, "kafka": kafka})
