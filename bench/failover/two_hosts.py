"""Two hosts that serve the same topics: each a supervisor with processes of its own, on a Kafka that is on neither."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.environment import new_home
from bench.system_process import OWN, SystemProcess
from consumers.service import service
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus
from standfast.kafka.cluster import Cluster

_SESSION_MS = 1000  # what docs/sre.md recommends for several hosts


@dataclass(frozen=True, slots=True)
class TwoHosts(RunningSystem):
    """Both as one scene; `place` is the host that is struck."""

    hosts: tuple[SystemProcess, ...] = ()

    def status(self) -> SystemStatus:
        """What those that run say of themselves, in one."""
        seen = [found for host in self.hosts if (found := host.status())]
        if not seen:
            raise ClusterError("neither host runs")
        workers = [row for one in seen for row in one.workers]
        return msgspec.structs.replace(seen[0], workers=workers, roles=[row for one in seen for row in one.roles])


@contextmanager
def two_hosts(settings: Settings, name: str, home: Path, module: str = OWN) -> Iterator[TwoHosts]:
    """Both, ready, each with all workers and standbys of the settings; their models are those of `home`."""
    with Cluster(1, home.parent / "kafka") as cluster, contextlib.ExitStack() as at_the_end:
        servers = cluster.bootstrap_servers
        hosts = tuple(
            SystemProcess(_on(settings, host), name, new_home(home, f"host-{host}"), module, servers)
            for host in ("a", "b")
        )
        for host in hosts:
            at_the_end.callback(host.stop)
            host.start()
        located, _ = (host.ready() for host in hosts)
        yield TwoHosts(located, service(name, located), hosts[0], hosts)


def _on(settings: Settings, host: str) -> Settings:
    workers = settings.workers.model_copy(update={"host": host, "session_timeout_ms": _SESSION_MS})
    kafka = settings.kafka.model_copy(update={"brokers": 1, "replication": 0})
    return settings.model_copy(update={"workers": workers, "kafka": kafka})
