"""The runner's side of `drills.orders`: it writes orders and signs of life, and reads what the agents report.

A runner that finds a living runner of another host waits until that host falls silent; the journal's fencing decides
between two that believe they are alone.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from typing import cast

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from drills.agent.messages import (
    LIFE_EVERY_S,
    LIFE_KEY,
    PARTITION,
    TOPIC,
    FaultName,
    FaultOrder,
    FaultReport,
    SignOfLife,
    decoded,
    encoded,
    key_of,
)
from drills.control.retry import Retry, StoppedWaiting
from drills.running.hosts import Hosts
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.hosts.host_key import host_key
from standfast.core.kafka_errors import error_of
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_SILENT_S = 5.0  # a runner of another host without a sign of life for so long is dead
_SPEAKS_WITHIN_S = 2.5  # a living runner writes twice in this time, once Kafka answers
_POLL_S = 0.1
_IDLE_POLL_S = 0.5  # while nothing is ordered; a record ends the wait at once
_READ_AT_ONCE = 500
_REPEAT_S = 0.5  # an order without a report is written again after so long: its agent may have started anew
_HOSTS_KNOWN_S = 5.0
_ASK_S = 5.0  # for Kafka to say where the topic ends
_log = structlog.get_logger()


class Orders:
    """Orders to all agents. `ask` and `report` may be called from any thread. `over` ends the waits for Kafka."""

    def __init__(self, settings: Settings, over: Callable[[], bool]) -> None:
        self.runner = secrets.token_hex(8)
        self.lease_s = settings.drills.lease_s
        self._host = host_key(settings)
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._over = over
        self._outage = Retry("the orders to the fault agents cannot be read", over)
        self._consumer = Consumer(clients.follower(settings, "standfast-drill-orders"))
        self._producer = Producer(clients.status(settings, "standfast-drill-orders"))
        self._asks = itertools.count(time.time_ns() // 1_000_000)
        self._orders: dict[FaultName, FaultOrder] = {}
        self._written_at: dict[FaultName, float] = {}
        self._reports: dict[FaultName, FaultReport] = {}
        self.past: dict[FaultName, FaultReport] = {}  # what agents reported of dead runners' faults
        self._others: set[str] = set()  # runners that were there before this one
        self._last_life = SignOfLife(runner="", host="")
        self._heard_at = time.monotonic()
        self.is_replaced = False
        self.hosts = Hosts(settings)
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drill-orders", daemon=True)

    def wait_for_turn(self) -> None:
        """Blocks while a runner of another host lives. Raises StoppedWaiting."""
        self._open()
        while self._other_lives():
            role_word.begun()
            if self._last_life.runner not in self._others:
                _log.info("another host's drill runner is at work; this one waits", host=self._last_life.host)
                self._others.add(self._last_life.runner)
            self._read(_POLL_S)
            role_word.beat()
            if self._over():
                raise StoppedWaiting
        self._others.add(self._last_life.runner)

    def take_over(self) -> None:
        """Begins the signs of life; call it once the journal has fenced the last runner."""
        self._sign()
        self._thread.start()

    def wait_for_hosts(self) -> None:
        """Blocks until the hosts' statuses are read, at most 5 s; a drill planned before that finds no system."""
        deadline = time.monotonic() + _HOSTS_KNOWN_S
        while not self.hosts.is_settled() and time.monotonic() < deadline and not self._over():
            role_word.beat()
            self._ending.wait(_POLL_S)

    def close(self) -> None:
        """Ends the thread; faults that still last end by their lease."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_POLL_S * 20)
        self._producer.flush(1.0)
        self._consumer.close()
        self.hosts.close()

    def ask(self, order: FaultOrder) -> int:
        """Writes the order with a new number and returns that; later it is written again until a report answers it."""
        numbered = msgspec.structs.replace(order, runner=self.runner, ask=next(self._asks), lease_s=self.lease_s)
        with self._changed:
            self._orders[order.name] = numbered
        self._write(numbered)
        return numbered.ask

    def report(self, name: FaultName) -> FaultReport | None:
        """The agent's last report of that fault."""
        return self._reports.get(name)

    def awaited(self, name: FaultName, is_answer: Callable[[FaultReport], bool], within_s: float) -> FaultReport | None:
        """The first report of that fault that is an answer; None if there is none in time."""
        deadline = time.monotonic() + within_s
        with self._changed:
            while not ((report := self._reports.get(name)) is not None and is_answer(report)):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
            return report

    def forget(self, name: FaultName) -> None:
        """Deletes the order: nobody asks about the fault any more; its agent still undoes it if it lasts."""
        with self._changed:
            if self._orders.pop(name, None) is None:
                return
            self._reports.pop(name, None)
            self._written_at.pop(name, None)
        report = FaultReport(name=name, ask=0, state="refused", boot="")
        for key in (name.key.encode(errors="replace"), key_of(report)):
            self._produce(key, None)

    # the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        signed_at = time.monotonic()
        while not self._ending.is_set() and not self.is_replaced:
            try:
                self._read(_IDLE_POLL_S if self.hosts.is_settled() and not self._orders else _POLL_S)
                if time.monotonic() - signed_at >= LIFE_EVERY_S:
                    self._sign()
                    signed_at = time.monotonic()
                self._repeat()
                self.hosts.update()
            except Exception:  # noqa: BLE001 - without this thread every lease would end
                _log.exception("a step of the orders' thread failed; it is tried again")
                self._ending.wait(_POLL_S)

    def _read(self, within_s: float) -> None:
        messages = cast("list[Consumed]", self._consumer.consume(1, within_s))
        messages += cast("list[Consumed]", self._consumer.consume(_READ_AT_ONCE, 0))
        with self._changed:
            for message in messages:
                if message.error() is None:
                    self._take(decoded(message.value()))
            self._changed.notify_all()

    def _take(self, content: SignOfLife | FaultOrder | FaultReport | None) -> None:
        if isinstance(content, FaultReport):
            if content.name in self._orders:
                self._reports[content.name] = content
            elif not self._thread.is_alive():
                self.past[content.name] = content
        elif isinstance(content, SignOfLife) and content.runner != self.runner:
            if self._thread.is_alive() and content.runner not in self._others:
                _log.error("another drill runner has taken over", host=content.host)
                self.is_replaced = True
            self._last_life, self._heard_at = content, time.monotonic()

    def _other_lives(self) -> bool:
        """Whether the runner of another host lives. It is dead only if Kafka answered while it was silent."""
        if self._last_life.host in {"", self._host}:
            return False
        if time.monotonic() - self._heard_at < _SILENT_S:
            return True
        self._end_offset()
        silent, deadline = self._heard_at, time.monotonic() + _SPEAKS_WITHIN_S
        while time.monotonic() < deadline and self._heard_at == silent:
            self._read(_POLL_S)
        self._end_offset()
        return self._heard_at != silent

    def _sign(self) -> None:
        self._produce(LIFE_KEY, encoded(SignOfLife(runner=self.runner, host=self._host)))
        self._producer.poll(0)

    def _repeat(self) -> None:
        """Writes the orders again that no report has answered: their agent may have been started anew."""
        now = time.monotonic()
        with self._changed:
            orders = list(self._orders.values())
        for order in orders:
            report = self._reports.get(order.name)
            is_answered = report is not None and report.ask == order.ask
            if not is_answered and now - self._written_at.get(order.name, 0.0) > _REPEAT_S:
                self._write(order)

    def _write(self, order: FaultOrder) -> None:
        self._written_at[order.name] = time.monotonic()
        self._produce(key_of(order), encoded(order))

    def _produce(self, key: bytes, value: bytes | None) -> None:
        try:
            self._producer.produce(self._topic, value, key, PARTITION)
        except (KafkaException, BufferError) as error:
            _log.warning("an order cannot be written yet", topic=self._topic, error=str(error))

    def _open(self) -> None:
        """Reads the topic to its end. Raises StoppedWaiting."""
        end = self._end_offset()
        place = TopicPartition(self._topic, PARTITION, 0)
        self._consumer.assign([place])
        deadline = time.monotonic() + _ASK_S
        while self._consumer.position([place])[0].offset < end and time.monotonic() < deadline:
            self._read(_POLL_S)

    def _end_offset(self) -> int:
        """Where the topic ends, 0 if it is empty; waits until Kafka answers. Raises StoppedWaiting."""
        while True:
            role_word.beat()
            try:
                low, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, PARTITION), timeout=_ASK_S)
            except KafkaException as exception:
                self._outage.wait(error_of(exception).str())
            else:
                self._outage.over()
                return end if end > low else 0
