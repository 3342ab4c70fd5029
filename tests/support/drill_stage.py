"""The two drill topics of one test, used as a user's own programs would use them, and drill runners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, Producer, TopicPartition

from drills.agent.agent import FaultAgent
from drills.control.events import FINAL
from drills.control.outcomes import Outcome, Outcomes
from drills.running.runner import Runner
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings
from tests.waiting import wait_until


class DrillStage:
    """Sends commands to `drills.control` and reads events from `drills.results`, under the prefix of one test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._codec = Codec()
        self._producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
        self._reader = Outcomes(settings, self._codec, "test")
        self.topic = settings.kafka.topic_prefix + "drills.control"

    def close(self) -> None:
        self._reader.close()

    def send(self, value: bytes | None, key: bytes | None = None) -> None:
        self._producer.produce(self.topic, value, key)
        assert self._producer.flush(10) == 0

    def order(self, encoding: Encoding = Encoding.JSON, **fields: object) -> None:
        self.send(self._codec.encode(DrillCommand(**fields), encoding))  # type: ignore[arg-type]

    def outcomes(self) -> list[Outcome]:
        return self._reader.from_the_start()

    def events(self, drill_id: str) -> list[DrillEvent]:
        return [outcome.event for outcome in self.outcomes() if outcome.event.drill_id == drill_id]

    def phases(self, drill_id: str) -> list[str]:
        return [event.phase for event in self.events(drill_id)]

    def reached(self, drill_id: str, phase: str, within: float = 30) -> None:
        wait_until(lambda: phase in self.phases(drill_id), within, every=0.1, what=f"{phase} of {drill_id}")

    def last(self, drill_id: str, within: float = 120) -> DrillEvent:
        """The final event. The drill's fault may cut off whoever reads here too: it is read again until then."""

        def final() -> list[DrillEvent]:
            with suppress(ClusterError):
                return [event for event in self.events(drill_id) if event.phase in FINAL]
            return []

        (last,) = wait_until(final, within, every=0.1, what=f"the last event of {drill_id}")
        return last

    def verdict(self, drill: str, params: Mapping[str, object], within: float = 300, **fields: object) -> DrillEvent:
        """The final event, of a drill that is begun again while the machine is too busy to show a steady state."""

        def ended() -> DrillEvent | None:
            drill_id = f"{drill}-{time.time_ns()}"
            self.order(drill=drill, drill_id=drill_id, params=dict(params), **fields)
            last = self.last(drill_id, within)
            return None if "the steady state is already broken" in (last.reason or "") else last

        last = wait_until(ended, 300, what=f"a verdict of {drill}")
        assert last is not None
        return last

    def dead_letters(self) -> list[tuple[bytes, dict[str, bytes]]]:
        consumer = Consumer(clients.consumer(self.settings, "test", "test"))
        consumer.assign([TopicPartition(f"{self.topic}.dlq", 0, 0)])
        letters: list[tuple[bytes, dict[str, bytes]]] = []
        while (message := consumer.poll(1 if letters else 10)) is not None:
            letters.append((message.value(), dict(message.headers() or ())))
        consumer.close()
        return letters


class RoleProcess:
    """`python -m drills` as the supervisor starts it, or another module in its place, with its arguments."""

    def __init__(self, settings: Settings, *module: str) -> None:
        self._module = module or ("drills",)
        kafka = settings.kafka
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "STANDFAST_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        }
        self.start()

    def start(self, **variables: str) -> None:
        environment = {**self._environment, **variables}
        self.process = subprocess.Popen([sys.executable, "-m", *self._module], env=environment)

    def end(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)


class RunnerProcess(RoleProcess):
    """A drill runner in a process of its own, and during the block an agent in a thread of this one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._agent = agent_in_a_thread(settings)

    def __enter__(self) -> Self:
        self._agent.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._agent.__exit__(kind, error, trace)


@contextmanager
def agent_in_a_thread(settings: Settings) -> Iterator[threading.Thread]:
    """Runs the fault agent of this state folder during the block, in a thread of this process."""
    with _in_a_thread(lambda stopping: FaultAgent(settings, stopping).run(), "the agent") as running:
        yield running


@contextmanager
def runner_in_a_thread(settings: Settings) -> Iterator[threading.Thread]:
    """Runs a drill runner and an agent during the block, in threads, which start sooner than processes."""
    with agent_in_a_thread(settings), runner_alone_in_a_thread(settings) as running:
        yield running


@contextmanager
def runner_alone_in_a_thread(settings: Settings) -> Iterator[threading.Thread]:
    """Runs a drill runner during the block, in a thread; the agents are elsewhere."""
    with _in_a_thread(lambda stopping: Runner(settings, Codec(), stopping).run(), "the runner") as running:
        yield running


@contextmanager
def _in_a_thread(run: Callable[[threading.Event], None], what: str) -> Iterator[threading.Thread]:
    stopping = threading.Event()
    running = threading.Thread(target=run, args=(stopping,), daemon=True)
    running.start()
    try:
        yield running
    finally:
        stopping.set()
        running.join(30)
        assert not running.is_alive(), f"{what} does not end"
