"""Writes what a supervisor says of its system to the topic `status`, from a thread: Kafka never holds up the rest."""

from __future__ import annotations

import threading

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from standfast.core import clients
from standfast.core.settings import Settings
from standfast.core.status import TOPIC, SystemStatus

_log = structlog.get_logger()
# A death changes the status four times within 50 ms, in which the processor is the standby's: it is written afterwards.
_GATHERED_S = 0.1
_POLL_S = 0.1


class StatusTopic:
    """The record of one host. Of what is said while the last one is on its way, only the latest is written.

    What Kafka does not take within five seconds is dropped: by then there is something newer to say. A supervisor that
    hangs says nothing, and so does this.
    """

    def __init__(self, settings: Settings, host: str) -> None:
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._host = host.encode()
        self._producer = Producer(clients.status(settings, "standfast-status"))
        self._latest: SystemStatus | None = None
        self._said = threading.Event()
        self._ending = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="status-topic", daemon=True)

    def start(self) -> None:
        """Starts writing; the topic is there."""
        self._thread.start()

    def say(self, status: SystemStatus) -> None:
        """Has this written next, in place of what has not been yet; returns at once."""
        self._latest = status
        self._said.set()

    def end(self, within_s: float) -> None:
        """Deletes the host's record and ends; blocks for so long at most, also if Kafka is away."""
        self._ending.set()
        self._said.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while True:
            self._said.wait()
            if self._ending.wait(_GATHERED_S):
                break
            self._said.clear()
            self._write(msgspec.json.encode(self._latest))
        self._write(None)
        while len(self._producer):
            self._producer.poll(_POLL_S)

    def _write(self, value: bytes | None) -> None:
        """Returns when Kafka has taken it or not; while this ends, at once."""
        try:
            self._producer.produce(self._topic, value, self._host, on_delivery=self._written)
        except (KafkaException, BufferError) as error:
            self._tell(str(error))
        while len(self._producer) and not self._ending.is_set():
            self._producer.poll(_POLL_S)

    def _written(self, error: KafkaError | None, _message: Message) -> None:
        self._tell(error.str() if error is not None else "")

    def _tell(self, trouble: str) -> None:
        """Says once what is wrong, and once that it is over."""
        if trouble and not self._trouble:
            _log.warning("other hosts do not see this one's status", topic=self._topic, reason=trouble)
        elif self._trouble and not trouble:
            _log.info("other hosts see this one's status again", topic=self._topic)
        self._trouble = trouble
