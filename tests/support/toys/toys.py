"""A toy system (`toy_system`) for tests: start it, read its status, kill its processes, stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from consumers.process.nursery import process_name
from models.canary import Canary
from standfast.core.keeping import write_whole
from standfast.core.services import NAMES
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import ServiceStatus, SystemStatus, WorkerStatus
from tests.waiting import wait_until

START_S = 90.0  # bounds a start, which takes a second on an idle machine
PARTITIONS = 4
NURSERIES = {process_name(service)[:15] for service in NAMES}  # as the kernel shows them


class Toys:
    """One system with its own state folder and topic prefix. It runs after `start`."""

    module = "tests.support.toys.toy_system"
    wrapped: tuple[str, ...] = ()  # the program, with its arguments, that starts the system's

    def __init__(self, home: Path, servers: str, prefix: str, services: tuple[str, ...], **more: str) -> None:
        self.home = home
        self.services = services
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix, partitions=PARTITIONS)
        )
        self._environment = {
            **os.environ,
            "STANDFAST_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "STANDFAST_KAFKA__TOPIC_PREFIX": prefix,
            "STANDFAST_KAFKA__PARTITIONS": str(PARTITIONS),
            "STANDFAST_METRICS__PORT": "0",
            "STANDFAST_CONSOLE__ENABLED": "false",
            "STANDFAST_CONSOLE__PORT": "0",
            "STANDFAST_SEARCH__CACHE": "0",  # every query reaches the toy model, which may have to die of it
            "STANDFAST_LOG__FORMAT": "json",
            **more,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when all workers of all services serve and their standbys are ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.wrapped, sys.executable, "-m", self.module, *self.services],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, START_S, what="a toy system that is ready")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signals the supervisor and returns when it has ended; kills it if it has not after 60 s."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log_file(self) -> Path:
        """The log of all processes of the system."""
        return self.home / "toys.log"

    def logged(self, text: str) -> int:
        """How many log lines contain the text."""
        return sum(text in line for line in self.log_file.read_text(errors="replace").splitlines())

    def topic(self, name: str) -> str:
        """The full name of a topic, with the prefix."""
        return self.settings.kafka.topic_prefix + name

    def status(self) -> SystemStatus:
        """The status file of the system."""
        return msgspec.json.decode((self.home / "run" / "status.json").read_bytes(), type=SystemStatus)

    def active(self, service: str = "search") -> list[WorkerStatus]:
        """The active workers of a service that serve."""
        return [
            row
            for row in self.status().workers
            if row.role == "active" and row.state == "serving" and row.service == service
        ]

    def standbys(self, service: str = "search") -> list[WorkerStatus]:
        """The warm standbys of a service."""
        return [row for row in self.status().workers if row.state == "ready" and row.service == service]

    def pids(self) -> list[int]:
        """The process ids of all workers and standbys."""
        return [row.pid for row in self.status().workers if row.pid]

    def nurseries(self) -> list[int]:
        """The process ids of the nurseries, from which workers are forked."""
        supervisor = self.status().supervisor_pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
        return [int(pid) for pid in children.split() if _is_nursery(int(pid))]

    def scale(self, workers: int, service: str = "search") -> None:
        """Asks for another number of workers, as `standfast scale` does, and returns when they serve."""
        self.order(workers, service)
        wait_until(lambda: self.scaling(service).settled, START_S, what=f"{workers} workers that serve")

    def order(self, workers: int, service: str = "search") -> None:
        """Asks for another number of workers and returns when the supervisor has read it."""
        (self.home / "run" / "orders").mkdir(exist_ok=True)
        (self.home / "run" / "orders" / service).write_text(str(workers))
        wait_until(lambda: self.scaling(service).workers == workers, START_S, what="a supervisor that has heard")

    def try_beside(self, version: int, share: float, *, shadow: bool = False, since: int = 1) -> None:
        """Has a version be the challenger, as `standfast models activate --canary` does."""
        (self.home / "toy-ended").unlink(missing_ok=True)
        write_whole(self.home / "toy-canary", msgspec.json.encode(Canary(version, share, shadow, since)))

    def try_no_longer(self) -> None:
        """Ends the canary, as `standfast models rollback` does; all may be over already."""
        (self.home / "toy-canary").unlink(missing_ok=True)
        (self.home / "toy-ended").unlink(missing_ok=True)

    def scaling(self, service: str = "search") -> ServiceStatus:
        """How many workers of a service there are, and why."""
        return next(row for row in self.status().services if row.name == service)

    def kill(self, pid: int, how: signal.Signals = signal.SIGKILL) -> None:
        """Signals a process of the system; does nothing if the process has ended."""
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return

    def whole(self, without: tuple[int, ...] = (), timeout: float = START_S) -> None:
        """Waits until no worker or standby is missing and none of the processes `without` is left."""
        wait_until(lambda: self._is_whole(without), timeout, what="a toy system with nobody missing")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_file.read_text(errors="replace")[-3000:]
        try:
            seen = self.status()
        except FileNotFoundError:
            return False
        is_ours = bool(self.wrapped) or seen.supervisor_pid == self._process.pid
        return is_ours and seen.state == "ready" and self._is_whole(())

    def _is_whole(self, without: tuple[int, ...]) -> bool:
        if set(without) & set(self.pids()):
            return False
        return all(self._serves(name) for name in self.services)

    def _serves(self, service: str) -> bool:
        active = self.active(service)
        partitions = sum(len(row.partitions.get(self.topic(f"{service}.requests"), ())) for row in active)
        workers = next((row.workers for row in self.status().services if row.name == service), 0)
        standbys = int(self._environment.get(f"STANDFAST_{service.upper()}__STANDBYS", 1))
        shared = "STANDFAST_WORKERS__HOST" in self._environment  # other hosts have partitions too
        return (
            len(active) == workers and len(self.standbys(service)) >= standbys and (partitions == PARTITIONS or shared)
        )


def is_alive(pid: int) -> bool:
    """Whether the process runs: it is neither gone nor a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _is_nursery(pid: int) -> bool:
    try:
        return is_alive(pid) and Path(f"/proc/{pid}/comm").read_text().rstrip() in NURSERIES
    except OSError:
        return False
