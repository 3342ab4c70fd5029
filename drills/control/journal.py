"""Writing the outcome stream: each event in a transaction, with the offset of the command that it settles.

One transactional id for all runners of a topic prefix: a runner that starts fences the one before it, so two can never
write two last events for one drill.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from drills.control.dead_letter import CommandLetter, Headers
from drills.control.outcomes import TOPIC, Outcomes
from drills.control.retry import Retry
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core import clients
from standfast.core.errors import Fenced
from standfast.core.kafka_errors import error_of, is_fenced
from standfast.core.processes import role_word
from standfast.core.producers import let_go
from standfast.core.settings import Settings

_TIMEOUT_S = 10.0
_NAME = "standfast-drills"
_UNSAID = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}  # noqa: SLF001 - of what waited behind a refused one
_TRIES = 3  # of a dead letter that nobody refuses and nobody takes
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What one transaction writes. `offsets` are next to read; `group` is the consumer group's metadata, if any."""

    events: tuple[DrillEvent, ...] = ()
    encoding: Encoding = Encoding.JSON
    offsets: tuple[TopicPartition, ...] = ()
    group: object = None
    dead_letter: CommandLetter | None = None


class _Try:
    """What Kafka says to the records of one entry, each time they are sent."""

    def __init__(self) -> None:
        self.failures = 0
        self.no_topic = False
        self.letter: KafkaError | None = None
        self.event: KafkaError | None = None

    def of_letter(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and error.code() not in _UNSAID:
            self.letter = error

    def of_event(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and error.code() not in _UNSAID:
            self.event = error


class Journal:
    """The one writer of the outcome stream. Not thread-safe; `stopping` ends its waiting for a Kafka that is down."""

    def __init__(self, settings: Settings, codec: Codec, stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._codec = codec
        self._stopping = stopping
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._outage = Retry("the outcome stream cannot be written", stopping)
        self._producer = self._built()

    def connect(self) -> None:
        """Fences every earlier runner; blocks until Kafka answers. Raises Fenced if a later one is there already."""
        while True:
            role_word.beat()
            try:
                self._producer.init_transactions(_TIMEOUT_S)
            except KafkaException as exception:
                _raise_if_fenced(exception)
                self._outage.wait(error_of(exception).str())
                self._replace()
            else:
                self._outage.over()
                return

    def write(self, entry: JournalEntry) -> None:
        """Blocks until the entry is committed, once. Raises Fenced or Stopped."""
        seen = _Try()
        while not self._tried(entry, seen):
            seen.failures += 1
            seen.no_topic = entry.dead_letter is not None and self._lacks(entry.dead_letter.topic)
            entry = _easier(entry, seen)
            seen.letter = seen.event = None
        self._outage.over()

    def close(self) -> None:
        """Lets go of the producer without waiting for anything."""
        self._producer.purge()

    def _tried(self, entry: JournalEntry, seen: _Try) -> bool:
        producer = self._producer
        try:
            role_word.beat()
            producer.begin_transaction()
            for event in entry.events:
                value = self._encoded(event, entry.encoding)
                key = event.drill_id.encode(errors="replace")
                _produce(producer, seen.of_event, self._topic, value, key)
            if entry.dead_letter is not None:
                letter = entry.dead_letter
                _produce(producer, seen.of_letter, letter.topic, letter.value, letter.key, letter.headers)
            role_word.beat()  # the events' registry and the transaction may each be waited for
            if entry.offsets:
                producer.send_offsets_to_transaction(list(entry.offsets), entry.group, _TIMEOUT_S)
            producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as exception:
            _raise_if_fenced(exception)
            producer.poll(0)  # for what is said to each record
            self._outage.wait(error_of(exception).str())
            return self._settled(entry, error_of(exception))
        return True

    def _encoded(self, event: DrillEvent, encoding: Encoding) -> bytes:
        """The event as its command was written; as JSON in ASCII where that fails, which nothing in it can prevent."""
        try:
            return self._codec.encode(event, encoding)
        except Exception as error:  # noqa: BLE001 - a registry's or a library's: it must not stop the runner
            _log.warning("an event is written as JSON", drill_id=event.drill_id, encoding=encoding, error=str(error))
            return json.dumps(msgspec.to_builtins(event)).encode()

    def _settled(self, entry: JournalEntry, error: KafkaError) -> bool:
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

    def _lacks(self, topic: str) -> bool:
        """Whether Kafka says that there is no such topic: a client waits for one in silence."""
        try:
            return self._producer.list_topics(topic, _TIMEOUT_S).topics[topic].error is not None
        except KafkaException:
            return False

    def _replace(self) -> None:
        old, self._producer = self._producer, self._built()
        let_go(old)

    def _built(self) -> Producer:
        name = self._settings.kafka.topic_prefix + _NAME
        return Producer(clients.transactional(self._settings, name, name))


def _produce(
    producer: Producer,
    report: Callable[[KafkaError | None, object], None],
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: Headers = (),
) -> None:
    try:
        producer.produce(topic, value, key, headers=list(headers), on_delivery=report)
    except KafkaException as exception:  # too large for the client itself
        report(error_of(exception), None)
        raise


def _easier(entry: JournalEntry, seen: _Try) -> JournalEntry:
    """The entry without what Kafka does not take: it must not hold up every command behind it.

    Of a dead letter its value and the headers that came with it are left first, then all of it; of an event that is too
    large, what it quotes. The command itself stays where it was.
    """
    letter = entry.dead_letter
    if letter is not None and (seen.letter is not None or seen.no_topic or seen.failures >= _TRIES):
        why = seen.letter.str() if seen.letter is not None else "it is not taken in time"
        shorter = None if seen.letter is None or seen.no_topic else letter.shortened()
        places = [(offset.topic, offset.partition, offset.offset - 1) for offset in entry.offsets]
        what = "left out" if shorter is None else "written without its value"
        _log.warning(f"a dead letter is {what}", topic=letter.topic, why=why, of=places)
        return replace(entry, dead_letter=shorter)
    if seen.event is not None and seen.event.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        _log.warning("an event is too large for its topic; it is shortened", why=seen.event.str())
        return replace(entry, events=tuple(_shortest(event) for event in entry.events))
    return entry


def _shortest(event: DrillEvent) -> DrillEvent:
    """The event without all that it quotes."""
    reason = event.reason[:100] if event.reason else None
    return msgspec.structs.replace(event, reason=reason, requested_by=None, params=None, findings=None, intent=None)


def _raise_if_fenced(exception: KafkaException) -> None:
    error = error_of(exception)
    if is_fenced(error):
        raise Fenced(f"another drill runner has taken over ({error.name()}); this one ends")
