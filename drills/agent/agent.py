"""The agent: reads orders, holds the faults of its host and writes what it sees, until it is told to stop."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterable
from typing import IO, cast

import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from consumers.service import service
from drills.agent import files
from drills.agent.current_runner import CurrentRunner
from drills.agent.files import FaultIntent
from drills.agent.held_fault import HeldFault, left_behind
from drills.agent.messages import (
    PARTITION,
    TOPIC,
    FaultName,
    FaultOrder,
    FaultReport,
    SignOfLife,
    boot,
    decoded,
    encoded,
    key_of,
)
from drills.faults import fault_named
from drills.faults.running_system import RunningSystem
from drills.safety import lever
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.home import folder
from standfast.core.hosts.host_key import host_key
from standfast.core.kafka_errors import error_of
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_POLL_S = 0.5  # for the next order; a record ends the wait at once
_LIVELY_POLL_S = 0.05  # while a fault lasts
_READ_AT_ONCE = 500
_JOIN_S = 2.0  # for the undo of all faults when the agent is stopped
_ASK_S = 5.0  # for Kafka to say where the topic ends
_log = structlog.get_logger()


class FaultAgent:
    """The faults of one host. Setting `stopping` ends it; it then undoes what still lasts."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        self._host = host_key(settings)
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._consumer = Consumer(clients.follower(settings, f"standfast-agent-{self._host}"))
        self._producer = Producer(clients.status(settings, f"standfast-agent-{self._host}"))
        self._current_runner = CurrentRunner()
        self._acts_from: int | None = None  # the offset of the first order that was written in this agent's life
        self._faults: dict[FaultName, HeldFault] = {}
        self._read_to = 0
        self._trouble = ""

    def run(self) -> None:
        """Blocks until stopped. What an earlier agent has left is undone first, without Kafka."""
        with (folder("run") / "agent.lock").open("w") as lock:
            if self._is_alone(lock):
                self._work()

    def _is_alone(self, lock: IO[str]) -> bool:
        """Waits for the lock of the state folder: two agents would inject each fault twice. False if stopped."""
        while not self._stopping.is_set():
            role_word.beat()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stopping.wait(_LIVELY_POLL_S)
            else:
                return True
        return False

    def _work(self) -> None:
        self._take_over()
        role_word.begun()
        try:
            while not self._stopping.is_set():
                role_word.beat()
                self._obey(self._orders())
                self._producer.poll(0)
                self._look_at_lever()
                self._prune()
        finally:
            self._end()

    def _take_over(self) -> None:
        reason = "the fault agent ended while the fault lasted, and its successor undid the fault"
        for intent in files.kept(self._topic):
            _log.warning("undoing what an earlier agent has left", fault=intent.name.key, kind=intent.fault)
            if not self._hold(left_behind(intent.name, intent.target, reason), intent):
                files.put_aside(self._topic, intent.name, f"this agent cannot undo the fault {intent.fault[:100]!r}")

    def _hold(self, first: FaultReport, of: FaultOrder | FaultIntent) -> bool:
        """Starts the fault's thread; False for a fault that this version of the agent cannot make or undo."""
        try:
            kind = fault_named(of.fault)
            system = RunningSystem(self._settings, service(of.service, self._settings))
            injector = kind.make(system, kind.aim(of.aim.target, of.aim.params, of.aim.seed, of.aim.drill_id))
        except Exception as error:  # noqa: BLE001 - of another version, or forged: the agent goes on
            reason = f"the fault agent does not know the fault {of.fault[:100]!r} ({type(error).__name__}: {error})"
            _log.error(reason, fault=of.name.key)
            ask = of.ask if isinstance(of, FaultOrder) else 0
            self._tell(FaultReport(name=of.name, ask=ask, state="refused", boot=boot(), reason=reason))
            return False
        fault = self._faults[of.name] = HeldFault(injector, first, self._topic, self._tell, kind.ends_agent)
        fault.start()
        return True

    # orders ----------------------------------------------------------------------------------------------------------

    def _orders(self) -> Iterable[Consumed]:
        """The next records; none while Kafka does not answer."""
        if self._acts_from is None and not self._open():
            self._stopping.wait(self._poll_s)
            return []
        messages = cast("list[Consumed]", self._consumer.consume(1, self._poll_s))
        return [*messages, *cast("list[Consumed]", self._consumer.consume(_READ_AT_ONCE, 0))]

    def _open(self) -> bool:
        """Reads the topic from its beginning, for who the runner is; older orders than this agent are not obeyed."""
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, PARTITION), timeout=_ASK_S)
            self._consumer.assign([TopicPartition(self._topic, PARTITION, 0)])
        except KafkaException as exception:
            self._tell_trouble(error_of(exception).str())
            return False
        self._acts_from = end
        self._tell_trouble("")
        return True

    @property
    def _poll_s(self) -> float:
        return _LIVELY_POLL_S if any(fault.is_injected for fault in list(self._faults.values())) else _POLL_S

    def _obey(self, messages: Iterable[Consumed]) -> None:
        """Takes the last order for each fault: one that was taken back since it was written is not obeyed."""
        orders: dict[FaultName, FaultOrder] = {}
        for message in messages:
            if message.error() is not None:
                continue
            self._note(message.offset())
            content = decoded(message.value())
            if isinstance(content, SignOfLife):
                self._hear(content)
            elif isinstance(content, FaultOrder) and content.name.host == self._host:
                if self._current_runner.is_current(content.runner) and message.offset() >= (self._acts_from or 0):
                    orders[content.name] = content
            elif message.value() is None:
                self._close(message.key())
        for name, order in orders.items():
            self._fault(name, order)

    def _note(self, offset: int) -> None:
        """Notices that the topic was deleted and created again: its offsets begin anew."""
        if offset < self._read_to:
            self._acts_from = 0
        self._read_to = offset

    def _hear(self, life: SignOfLife) -> None:
        if self._current_runner.heard(life.runner):
            for fault in self._faults.values():
                fault.renew()

    def _fault(self, name: FaultName, order: FaultOrder) -> None:
        fault = self._faults.get(name)
        if fault is None or fault.is_closing:
            first = FaultReport(name=name, ask=0, state="chosen", boot=boot())
            if order.wanted == "undone" and order.target is not None:
                first = left_behind(name, order.target, "")
            if not self._hold(first, order):
                return
        self._faults[name].obey(order)

    def _look_at_lever(self) -> None:
        """Undoes every fault while the lever's file is there: it works while Kafka, and so the runner, is frozen."""
        lasting = [fault for fault in self._faults.values() if fault.is_injected]
        if lasting and (reason := lever.engaged()):
            for fault in lasting:
                fault.halt(reason)

    def _close(self, key: bytes | str | None) -> None:
        """The runner has deleted the order: nobody asks about the fault any more."""
        text = key.decode(errors="replace") if isinstance(key, bytes) else key
        for name, fault in self._faults.items():
            if name.key == text:
                fault.close()

    def _prune(self) -> None:
        for name, fault in list(self._faults.items()):
            if fault.is_over:
                del self._faults[name]
            elif fault.is_forsaken:
                fault.close()

    # reports ---------------------------------------------------------------------------------------------------------

    def _tell(self, report: FaultReport, and_wait: bool = False) -> None:
        """Writes the report; called from the faults' threads too. While Kafka is down, newer reports follow."""
        try:
            self._producer.produce(self._topic, encoded(report), key_of(report), PARTITION)
            if and_wait:
                self._producer.flush(_JOIN_S)
        except (KafkaException, BufferError) as error:
            self._tell_trouble(str(error))

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.warning("the orders of the drill runner cannot be read", topic=self._topic, reason=trouble)
        self._trouble = trouble

    def _end(self) -> None:
        for fault in self._faults.values():
            fault.close()
        for fault in self._faults.values():
            if not fault.join(_JOIN_S):
                _log.error("a fault is not undone yet; the next agent undoes it", fault=fault.name.key)
        self._producer.flush(_JOIN_S)
        self._consumer.close()
