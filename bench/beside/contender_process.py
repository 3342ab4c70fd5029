"""The process of one contender: started, sent a first request, and ended with everything it started."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from confluent_kafka.admin import AdminClient, NewTopic

from bench import processes
from bench.beside.contenders import STANDFAST, Contender
from bench.closed_loop import ClosedLoop
from bench.environment import Environment, child_environment
from bench.peers.task import Task
from bench.requests import Request
from bench.timings import Timings
from consumers.service import Service, service
from standfast import topics
from standfast.core import clients
from standfast.core.errors import ClusterError, NoAnswer
from standfast.core.processes.child import start_child
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

_STARTS_S = 120.0  # until the first good answer
_ENDS_S = 20.0  # after SIGTERM
_POLL_S = 0.05
# One thread computes, as in a Standfast worker; and no peer reports usage over the network.
_ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "100",  # by default 30, too few on a busy machine
}


class Loop(Protocol):
    """A closed-loop client for the contender's transport."""

    def run(self, requests: Sequence[Request], in_flight: int, patience_s: float = ...) -> Timings: ...

    def close(self) -> None: ...


class ContenderProcess:
    """A running contender. `start_s` is the time from starting its process to its first good answer."""

    def __init__(self, contender: Contender, process: subprocess.Popen[bytes], home: Path, log: Path) -> None:
        self.contender = contender
        self.start_s = 0.0
        self._process = process
        self._home = home
        self._log = log

    def watch(self) -> None:
        """Raises ClusterError if its process has ended."""
        if self._process.poll() is not None:
            raise ClusterError(f"{self.contender.name} ended ({self._process.returncode}): {self.last_words()}")

    def last_words(self) -> str:
        """The last line it logged."""
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return lines[-1][:500]

    def model_pids(self) -> list[int]:
        """The pids of processes with the model: a peer's own, or Standfast's workers, standbys and their nursery."""
        if self.contender is not STANDFAST:
            return [int((self._home / "pid").read_text())]
        workers = [worker.pid for worker in self._status().workers if worker.pid]
        return [*workers, *{processes.parent(pid) for pid in workers}]

    def memory_mb(self) -> float:
        """The proportional set size of all its processes, without Kafka."""
        return processes.memory_mb(processes.family(self._process.pid))

    def await_complete(self) -> None:
        """Waits until Standfast is complete with its standby, so that no start disturbs the measurement."""
        deadline = time.monotonic() + _STARTS_S
        while self.contender is STANDFAST and self._status().state != "ready":
            self.watch()
            if time.monotonic() > deadline:
                raise ClusterError(f"standfast is not complete after {_STARTS_S:.0f} s: {self._status().detail}")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Ends the contender and everything it started."""
        pids = processes.family(self._process.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # it may end its own children in order
            deadline = time.monotonic() + _ENDS_S
            while self._process.poll() is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        processes.end(pids, _ENDS_S)
        self._process.wait()

    def _status(self) -> SystemStatus:
        return msgspec.json.decode((self._home / "run" / "status.json").read_bytes(), type=SystemStatus)


@contextmanager
def running(
    contender: Contender, environment: Environment, name: str, tag: str, first: Request
) -> Iterator[tuple[ContenderProcess, Loop]]:
    """The contender, started, and a loop that sends it requests; raises ClusterError if it gives no good answer."""
    settings = environment.named(f"bench-{tag}-")
    served, home = service(name, settings), environment.new_home(tag)
    make_loop = _through_kafka if contender.transport == "kafka" else _through_http
    port = _free_port()
    _create_topics(contender, settings, served)
    began = time.perf_counter()
    process = _started(contender, settings, home, _task(contender, settings, served, home, port))
    contender_process = ContenderProcess(contender, process, home, home / "log")
    try:
        loop = make_loop(settings, served, port, contender_process.watch)
        try:
            _await_answer(loop, first, contender_process)
            contender_process.start_s = time.perf_counter() - began
            contender_process.await_complete()
            yield contender_process, loop
        finally:
            loop.close()
    finally:
        contender_process.end()


def _through_kafka(settings: Settings, served: Service, _port: int, watch: Callable[[], None]) -> Loop:
    return ClosedLoop(settings, served, watch)


def _through_http(_settings: Settings, _served: Service, port: int, watch: Callable[[], None]) -> Loop:
    from bench.beside.http_caller import HttpLoop

    return HttpLoop(f"http://127.0.0.1:{port}/predict", watch)


def _task(contender: Contender, settings: Settings, served: Service, home: Path, port: int) -> str:
    if contender is STANDFAST:
        return served.name
    device = settings.service(served.name).device
    return Task(
        service=served.name,
        device=device,
        batch=served.batch,
        pid_file=str(home / "pid"),
        servers=settings.kafka.bootstrap_servers,
        requests=served.requests,
        results=served.results,
        group=f"{settings.kafka.topic_prefix}{contender.name}",
        port=port,
        as_usual=contender.as_usual,
        precision=settings.service(served.name).precision,
    ).argument()


def _started(contender: Contender, settings: Settings, home: Path, argument: str) -> subprocess.Popen[bytes]:
    at_our_death = signal.SIGTERM if contender is STANDFAST else signal.SIGKILL
    command = [sys.executable, "-P", "-m", contender.module, argument]
    return start_child(command, at_our_death, home / "log", child_environment(settings, home, **_ALONE))


def _create_topics(contender: Contender, settings: Settings, served: Service) -> None:
    """Creates all of Standfast's topics for Standfast, a request and a result topic for a peer on Kafka."""
    admin = AdminClient(clients.base(settings, "standfast-bench"))
    if contender is STANDFAST:
        topics.apply(admin, settings.kafka)
    elif contender.transport == "kafka":
        new_topics = [NewTopic(topic, settings.kafka.partitions, 1) for topic in (served.requests, served.results)]
        for created in admin.create_topics(new_topics).values():
            created.result(_STARTS_S)
    if contender.transport == "kafka":
        _await_topics(admin, served)


def _await_topics(admin: AdminClient, served: Service) -> None:
    """Waits until metadata list the topics: on a busy machine that is a moment after they were created."""
    deadline = time.monotonic() + _STARTS_S
    while not {served.requests, served.results} <= set(admin.list_topics(timeout=_STARTS_S).topics):
        if time.monotonic() > deadline:
            raise ClusterError(f"Kafka has created {served.requests} and does not tell of it after {_STARTS_S:.0f} s")
        time.sleep(_POLL_S)


def _await_answer(loop: Loop, first: Request, process: ContenderProcess) -> None:
    """Repeats the first request until its answer is good: a server that starts may refuse it at first."""
    deadline = time.monotonic() + _STARTS_S
    try:
        while loop.run([first], 1, _STARTS_S).not_ok and time.monotonic() < deadline:
            process.watch()
            time.sleep(_POLL_S)
    except NoAnswer:
        deadline = 0.0
    if time.monotonic() > deadline:
        raise ClusterError(
            f"{process.contender.name} gave no good answer for {_STARTS_S:.0f} s: {process.last_words()}"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
