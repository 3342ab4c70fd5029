"""Writing the outcome stream: each event in a transaction, with the offset of the command that it settles.

One transactional id for all runners of a topic prefix: a runner that starts fences the one before it, so two can never
write two last events for one drill.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from drills.outage import Outage
from drills.outcomes import TOPIC, Outcomes
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast import clients
from standfast.errors import Fenced
from standfast.settings import Settings

_TIMEOUT_S = 10.0
_NAME = "standfast-drills"
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001 - its own name for it
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A command that could not be read, as it came, with the headers that say why."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction writes. `offsets` are next to read; `group` is the consumer group's metadata, if any."""

    events: tuple[DrillEvent, ...] = ()
    encoding: Encoding = Encoding.JSON
    offsets: tuple[TopicPartition, ...] = ()
    group: object = None
    dead_letter: DeadLetter | None = None


class Journal:
    """The one writer of the outcome stream. Not thread-safe; `stopping` ends its waiting for a Kafka that is down."""

    def __init__(self, settings: Settings, codec: Codec, stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._codec = codec
        self._stopping = stopping
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._outage = Outage("the outcome stream cannot be written", stopping)
        self._producer = self._built()

    def connect(self) -> None:
        """Fences every earlier runner; blocks until Kafka answers. Raises Fenced if a later one is there already."""
        while True:
            try:
                self._producer.init_transactions(_TIMEOUT_S)
            except KafkaException as exception:
                _raise_if_fenced(exception)
                self._outage.wait(exception.args[0].str())
                self._replace()
            else:
                self._outage.over()
                return

    def write(self, entry: Entry) -> None:
        """Blocks until the entry is committed, once. Raises Fenced or Stopped."""
        while not self._tried(entry):
            pass
        self._outage.over()

    def close(self) -> None:
        """Lets go of the producer without waiting for anything."""
        self._producer.purge()

    def _tried(self, entry: Entry) -> bool:
        producer = self._producer
        try:
            producer.begin_transaction()
            for event in entry.events:
                value = self._codec.encode(event, entry.encoding)
                producer.produce(self._topic, value, event.drill_id.encode())
            if entry.dead_letter is not None:
                letter = entry.dead_letter
                producer.produce(letter.topic, letter.value, letter.key, headers=list(letter.headers))
            if entry.offsets:
                producer.send_offsets_to_transaction(list(entry.offsets), entry.group, _TIMEOUT_S)
            producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as exception:
            _raise_if_fenced(exception)
            self._outage.wait(exception.args[0].str())
            return self._settled(entry, exception.args[0])
        return True

    def _settled(self, entry: Entry, error: KafkaError) -> bool:
        """Leaves a producer that can begin again, and says whether the entry was committed after all."""
        if error.txn_requires_abort():
            try:
                self._producer.abort_transaction(_TIMEOUT_S)
            except KafkaException as exception:
                _raise_if_fenced(exception)
            else:
                return False
        self._replace()
        self.connect()
        return bool(entry.events) and self._is_written(entry.events[-1])

    def _is_written(self, event: DrillEvent) -> bool:
        """Looks it up in the log: after a time-out of a commit nobody else can tell."""
        reader = Outcomes(self._settings, self._codec, f"{_NAME}-check")
        try:
            known = [outcome.event for outcome in reader.from_the_start()]
        finally:
            reader.close()
        return any((one.drill_id, one.phase, one.at) == (event.drill_id, event.phase, event.at) for one in known)

    def _replace(self) -> None:
        old, self._producer = self._producer, self._built()
        threading.Thread(target=old.purge, daemon=True).start()  # its destructor waits for requests in flight

    def _built(self) -> Producer:
        name = self._settings.kafka.topic_prefix + _NAME
        return Producer(clients.transactional(self._settings, name, name))


def _raise_if_fenced(exception: KafkaException) -> None:
    error: KafkaError = exception.args[0]
    if error.code() in _FENCED or error.fatal():
        raise Fenced(f"another drill runner has taken over ({error.name()}); this one ends")
