"""How long `standfast up` takes to its first answer, with models and Kafka's jars on disk, and what it waits for."""

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
from bench.closed_loop import ClosedLoop
from bench.environment import copied_models, environment, new_home, workplace
from bench.requests import RequestMaker
from consumers.service import service
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.core.processes.child import start_child
from standfast.core.services import NAMES
from standfast.core.settings import Settings
from standfast.core.status import SystemStatus

_PATIENCE_S = 120.0
_POLL_S = 0.01
_ENDS_S = 30.0
# What the supervisor logs, and what has been reached by then.
_LOGGED = {"starting Kafka": "the command runs", "kafka is ready": "Kafka answers", "ready": "all workers and standbys"}


class _StartLine(msgspec.Struct):
    event: str = ""
    timestamp: str = ""


def startups(settings: Settings, rounds: int, tell: Callable[[str], None]) -> list[dict[str, float]]:
    """Of each round the seconds from the command to each thing reached, in that order; leaves nothing running.

    Every round has a state folder of its own that holds the trained models and nothing else. Raises ModelError when
    there are none, ClusterError when the system does not start.
    """
    alone = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": "", "client": {}}),
            "metrics": settings.metrics.model_copy(update={"port": 0}),
            "log": settings.log.model_copy(update={"format": "json", "level": "info"}),
        }
    )
    with workplace() as place:
        home = copied_models(NAMES, place / "models-only")
        found = []
        for number in range(1, rounds + 1):
            tell(f"round {number} of {rounds}")
            found.append(_one(alone, new_home(home, f"up-{number}")))
    return found


def _one(settings: Settings, home: Path) -> dict[str, float]:
    began = time.time()
    up = _Up(start_child(launching.command("up"), signal.SIGTERM, home / "log", environment(settings, home)), home)
    try:
        reached = {f"first answer of {name}": at - began for name, at in up.first_answers(settings).items()}
        up.wait_for(lambda: "ready" in up.logged())
    finally:
        up.end()
    reached |= {_LOGGED[event]: at - began for event, at in up.logged().items()}
    return dict(sorted(reached.items(), key=lambda each: each[1]))


class _Up:
    """One `standfast up`, seen through its log and status files and its topics."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path) -> None:
        self._process = process
        self._home = home

    def first_answers(self, settings: Settings) -> dict[str, float]:
        """When each service answered for the first time; both are asked as soon as there are topics to ask through."""
        self.wait_for(lambda: "kafka is ready" in self.logged())
        servers = msgspec.json.decode((self._home / "run" / "status.json").read_bytes(), type=SystemStatus)
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": servers.bootstrap_servers})
        here = settings.model_copy(update={"kafka": kafka})
        admin = AdminClient(clients.base(here, "standfast-bench"))
        wanted = {topic for name in NAMES for topic in (service(name, here).requests, service(name, here).results)}
        self.wait_for(lambda: wanted <= _topics(admin))
        with ThreadPoolExecutor(len(NAMES)) as pool:
            return dict(zip(NAMES, pool.map(lambda name: self._first_answer(here, name), NAMES), strict=True))

    def _first_answer(self, settings: Settings, name: str) -> float:
        loop = ClosedLoop(settings, service(name, settings), self._watch)
        try:
            loop.run(RequestMaker(name).ask(1).requests, 1, _PATIENCE_S)
            return time.time()
        finally:
            loop.close()

    def logged(self) -> dict[str, float]:
        """When the supervisor logged each event that is looked for."""
        found: dict[str, float] = {}
        for line in (self._home / "log").read_bytes().splitlines():
            try:
                told = msgspec.json.decode(line, type=_StartLine)
            except msgspec.DecodeError:
                continue
            if told.event in _LOGGED:
                found.setdefault(told.event, datetime.fromisoformat(told.timestamp).timestamp())
        return found

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Blocks until it is so; raises ClusterError if the system ends, or if it takes too long."""
        until = time.monotonic() + _PATIENCE_S
        while not reached():
            self._watch()
            if time.monotonic() > until:
                raise ClusterError(f"the system has not started within {_PATIENCE_S:.0f} s; {self._last_words()}")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Stops it as `standfast down` does, and ends whatever is left."""
        members = processes.family(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            processes.end(members, 0.0)
        processes.end(members, _ENDS_S)

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
