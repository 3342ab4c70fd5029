"""Publishes the supervisor's status to the topic `status`, from a thread: the supervisor never waits for Kafka."""

from __future__ import annotations

import threading

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from standfast.core import clients
from standfast.core.settings import Settings
from standfast.core.status import TOPIC, SystemStatus

_log = structlog.get_logger()
# A worker's death changes the status four times within 50 ms, while the standby needs the processor: only the last
# change is written, after that.
_GATHERED_S = 0.1
_POLL_S = 0.1


class StatusTopic:
    """Writes one host's record. Of the statuses published while a record is in flight, only the latest is written.

    A record that Kafka does not acknowledge within 5 s (`clients.status`) is dropped: a newer status follows. Nothing
    is written without a call of `publish`, so other hosts see that a supervisor hangs: its record grows old.
    """

    def __init__(self, settings: Settings, host: str) -> None:
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._host = host.encode()
        self._producer = Producer(clients.status(settings, "standfast-status"))
        self._latest: SystemStatus | None = None
        self._published = threading.Event()
        self._ending = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="status-topic", daemon=True)

    def start(self) -> None:
        """Starts the writing thread; the topic must exist."""
        self._thread.start()

    def publish(self, status: SystemStatus) -> None:
        """Queues the status, in place of one not written yet; returns at once."""
        self._latest = status
        self._published.set()

    def close(self, within_s: float) -> None:
        """Deletes the host's record and ends the thread; blocks for `within_s` seconds at most, also without Kafka."""
        self._ending.set()
        self._published.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while True:
            self._published.wait()
            if self._ending.wait(_GATHERED_S):
                break
            self._published.clear()
            self._write(msgspec.json.encode(self._latest))
        self._write(None)
        while len(self._producer):
            self._producer.poll(_POLL_S)

    def _write(self, value: bytes | None) -> None:
        """Produces the record and waits for its delivery report; while the thread ends, it does not wait."""
        try:
            self._producer.produce(self._topic, value, self._host, on_delivery=self._written)
        except (KafkaException, BufferError) as error:
            self._tell(str(error))
        while len(self._producer) and not self._ending.is_set():
            self._producer.poll(_POLL_S)

    def _written(self, error: KafkaError | None, _message: Message) -> None:
        self._tell(error.str() if error is not None else "")

    def _tell(self, trouble: str) -> None:
        """Logs once that publishing fails, and once that it works again."""
        if trouble and not self._trouble:
            _log.warning("other hosts do not see this one's status", topic=self._topic, reason=trouble)
        elif self._trouble and not trouble:
            _log.info("other hosts see this one's status again", topic=self._topic)
        self._trouble = trouble
