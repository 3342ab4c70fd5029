"""The time from `standfast up` to its first answer and to each step before, with models and Kafka's jars on disk.

Beside each start stands what none can do without: Kafka alone until ready, and the slowest model alone until warm.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench import processes
from bench.beside.raw import raw
from bench.closed_loop import ClosedLoop
from bench.environment import child_environment, copied_models, new_home, workplace
from bench.requests import RequestMaker
from consumers.service import service
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.core.processes.child import start_child
from standfast.core.services import NAMES
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus
from standfast.kafka.cluster import Cluster

_PATIENCE_S = 120.0  # until each step
_POLL_S = 0.01
_ENDS_S = 30.0  # after SIGTERM
# Events in the supervisor's log, and the step that each marks.
_LOGGED = {"starting Kafka": "the command runs", "kafka is ready": "Kafka answers", "ready": "all workers and standbys"}


KAFKA_ALONE, MODEL_ALONE = "Kafka alone, beside it", "the slowest model alone, beside it"


class _StartLine(msgspec.Struct):
    event: str = ""
    timestamp: str = ""


def startups(settings: Settings, rounds: int, tell: Callable[[str], None]) -> list[dict[str, float]]:
    """For each round the seconds that Kafka and a model take alone, then those from the command to each step, in order.

    Every round has a new state folder with only the trained models. Raises ModelError if there are none, ClusterError
    if the system does not start. Leaves nothing running.
    """
    alone = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": "", "client": {}}),
            "metrics": settings.metrics.model_copy(update={"port": 0}),
            "console": settings.console.model_copy(update={"port": 0}),
            "log": settings.log.model_copy(update={"format": "json", "level": "info"}),
        }
    )
    with workplace() as temporary:
        home = copied_models(NAMES, temporary / "models-only")
        rounds_seconds = []
        for number in range(1, rounds + 1):
            tell(f"round {number} of {rounds}")
            rounds_seconds.append(
                _parts(alone, new_home(home, f"parts-{number}")) | _start(alone, new_home(home, f"up-{number}"))
            )
    return rounds_seconds


def _parts(settings: Settings, home: Path) -> dict[str, float]:
    return {KAFKA_ALONE: _kafka_s(home), MODEL_ALONE: max(_model_s(settings, name, home) for name in NAMES)}


def _kafka_s(home: Path) -> float:
    began = time.monotonic()
    with Cluster(1, home / "kafka"):
        return time.monotonic() - began


def _model_s(settings: Settings, service_name: str, home: Path) -> float:
    options, began = settings.service(service_name), time.monotonic()
    with raw(service_name, options.device, options.precision, home):
        return time.monotonic() - began


def _start(settings: Settings, home: Path) -> dict[str, float]:
    began = time.time()
    up = _StartedSystem(
        start_child(launching.command("up"), signal.SIGTERM, home / "log", child_environment(settings, home)), home
    )
    try:
        steps = {f"first answer of {name}": at - began for name, at in up.first_answers(settings).items()}
        up.wait_for(lambda: "ready" in up.logged())
    finally:
        up.end()
    steps |= {_LOGGED[event]: at - began for event, at in up.logged().items()}
    return dict(sorted(steps.items(), key=lambda step: step[1]))


class _StartedSystem:
    """One `standfast up`, seen through its log and status files and its topics."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self._process = process
        self._home = home

    def first_answers(self, settings: Settings) -> dict[str, float]:
        """When each service first answered (epoch seconds); a request is sent as soon as its topics exist."""
        self.wait_for(lambda: "kafka is ready" in self.logged())
        status = msgspec.json.decode((self._home / "run" / "status.json").read_bytes(), type=SystemStatus)
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": status.bootstrap_servers})
        located = settings.model_copy(update={"kafka": kafka})
        admin = AdminClient(clients.base(located, "standfast-bench"))
        topics = {
            topic for name in NAMES for topic in (service(name, located).requests, service(name, located).results)
        }
        self.wait_for(lambda: topics <= _topics(admin))
        with ThreadPoolExecutor(len(NAMES)) as pool:
            return dict(zip(NAMES, pool.map(lambda name: self._first_answer(located, name), NAMES), strict=True))

    def _first_answer(self, settings: Settings, service_name: str) -> float:
        loop = ClosedLoop(settings, service(service_name, settings), self._watch)
        try:
            loop.run(RequestMaker(service_name).make(1).requests, 1, _PATIENCE_S)
            return time.time()
        finally:
            loop.close()

    def logged(self) -> dict[str, float]:
        """When the supervisor logged each event of `_LOGGED` (epoch seconds)."""
        times: dict[str, float] = {}
        for line in (self._home / "log").read_bytes().splitlines():
            try:
                record = msgspec.json.decode(line, type=_StartLine)
            except msgspec.DecodeError:
                continue
            if record.event in _LOGGED:
                times.setdefault(record.event, datetime.fromisoformat(record.timestamp).timestamp())
        return times

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Blocks until `reached` returns True; raises ClusterError if the system ends, or after 120 s."""
        deadline = time.monotonic() + _PATIENCE_S
        while not reached():
            self._watch()
            if time.monotonic() > deadline:
                raise ClusterError(f"the system has not started within {_PATIENCE_S:.0f} s; {self._last_words()}")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Stops the system as `standfast down` does, and ends processes that are left."""
        pids = processes.family(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            processes.end(pids, 0.0)
        processes.end(pids, _ENDS_S)

    def _watch(self) -> None:
        if self._process.poll() is not None:
            raise ClusterError(f"the system did not start; {self._last_words()}")

    def _last_words(self) -> str:
        lines = (self._home / "log").read_text(errors="replace").strip().splitlines() or ["nothing was logged"]
        return lines[-1][:500]


def _topics(admin: AdminClient) -> set[str]:
    try:
        return set(admin.list_topics(timeout=1.0).topics)
    except KafkaException:
        return set()
