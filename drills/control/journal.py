"""Writing the outcome stream: each event in a transaction, with the offset of the command that it answers.

All runners of a topic prefix use one transactional id: a runner that starts fences the previous one, so two runners
can never both write a final event for one drill.
"""

from __future__ import annotations

import json
import time
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
from standfast.core.bounded import CallThread, CallTimeout, Hung
from standfast.core.errors import Fenced
from standfast.core.kafka_errors import error_of, is_fenced
from standfast.core.processes import role_word
from standfast.core.producers import ABORT_S, let_go
from standfast.core.settings import Settings

_TIMEOUT_S = 10.0  # of each call to Kafka
_OFFSETS_S = 3.0  # the shortest time after which a call that sends offsets is taken for hung
_NAME = "standfast-drills"
_PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}  # noqa: SLF001 - of records behind a refused one
_TRIES = 3  # of a dead letter that Kafka neither accepts nor refuses
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """The contents of one transaction. `offsets` are next to read; `group` is the consumer group's metadata, if any."""

    events: tuple[DrillEvent, ...] = ()
    encoding: Encoding = Encoding.JSON
    offsets: tuple[TopicPartition, ...] = ()
    group: object = None
    dead_letter: CommandLetter | None = None


class _DeliveryErrors:
    """The delivery errors of one entry's records: of the dead letter and of an event, each from the last attempt."""

    def __init__(self) -> None:
        self.failures = 0
        self.no_topic = False
        self.letter: KafkaError | None = None
        self.event: KafkaError | None = None

    def of_letter(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and error.code() not in _PURGED:
            self.letter = error

    def of_event(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and error.code() not in _PURGED:
            self.event = error


class Journal:
    """The only writer of the outcome stream. Not thread-safe. `stopping` ends its wait for a Kafka that is down."""

    def __init__(self, settings: Settings, codec: Codec, stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._codec = codec
        self._stopping = stopping
        self._topic = settings.kafka.topic_prefix + TOPIC
        self._outage = Retry("the outcome stream cannot be written", stopping)
        self._beside = CallThread()
        self._patience = CallTimeout(_OFFSETS_S)
        self._producer = self._built()

    def connect(self) -> None:
        """Fences every earlier runner; blocks until Kafka answers. Raises Fenced if a later runner exists already."""
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
        """Blocks until the entry is committed, exactly once. Raises Fenced or StoppedWaiting."""
        errors = _DeliveryErrors()
        while not self._committed(entry, errors):
            errors.failures += 1
            errors.no_topic = entry.dead_letter is not None and self._lacks(entry.dead_letter.topic)
            entry = _reduced(entry, errors)
            errors.letter = errors.event = None
        self._outage.over()

    def close(self) -> None:
        """Drops what the producer has queued, without waiting."""
        self._producer.purge()

    def _committed(self, entry: JournalEntry, errors: _DeliveryErrors) -> bool:
        producer = self._producer
        try:
            role_word.beat()
            producer.begin_transaction()
            for event in entry.events:
                value = self._encoded(event, entry.encoding)
                key = event.drill_id.encode(errors="replace")
                _produce(producer, errors.of_event, self._topic, value, key)
            if entry.dead_letter is not None:
                letter = entry.dead_letter
                _produce(producer, errors.of_letter, letter.topic, letter.value, letter.key, letter.headers)
            role_word.beat()  # the schema registry above and the commit below may each take several seconds
            if entry.offsets:
                self._send_offsets(producer, entry)
            producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as exception:
            _raise_if_fenced(exception)
            producer.poll(0)  # calls the delivery reports, which `_reduced` needs
            self._outage.wait(error_of(exception).str())
            return self._committed_after_all(entry, error_of(exception))
        return True

    def _send_offsets(self, producer: Producer, entry: JournalEntry) -> None:
        """Adds the offsets; raises Hung when that takes too long.

        After the death of a single broker the call never returned: the runner was killed by the supervisor a minute
        later, and every command of that minute was refused as too late.
        """

        def send() -> None:
            producer.send_offsets_to_transaction(list(entry.offsets), entry.group, _TIMEOUT_S)

        began = time.monotonic()
        try:
            self._beside.call(send, min(self._patience.seconds, _TIMEOUT_S))
        except Hung:
            self._patience.hung()
            raise
        self._patience.returned(time.monotonic() - began)

    def _encoded(self, event: DrillEvent, encoding: Encoding) -> bytes:
        """The event in its command's encoding; if that fails, as ASCII JSON, which can hold any event."""
        try:
            return self._codec.encode(event, encoding)
        except Exception as error:  # noqa: BLE001 - from the registry or a library: it must not stop the runner
            _log.warning("an event is written as JSON", drill_id=event.drill_id, encoding=encoding, error=str(error))
            return json.dumps(msgspec.to_builtins(event)).encode()

    def _committed_after_all(self, entry: JournalEntry, error: KafkaError) -> bool:
        """Aborts the transaction or replaces the producer; returns whether the entry was committed nevertheless."""
        if error.txn_requires_abort():
            try:
                self._producer.abort_transaction(ABORT_S)
            except KafkaException as exception:
                _raise_if_fenced(exception)
            else:
                return False
        self._replace()
        self.connect()
        return bool(entry.events) and self._is_written(entry.events[-1])

    def _is_written(self, event: DrillEvent) -> bool:
        """Whether the log has this event: after a commit that timed out, nothing else tells whether it succeeded."""
        reader = Outcomes(self._settings, self._codec, f"{_NAME}-check")
        try:
            written = [outcome.event for outcome in reader.from_the_start()]
        finally:
            reader.close()
        return any((past.drill_id, past.phase, past.at) == (event.drill_id, event.phase, event.at) for past in written)

    def _lacks(self, topic: str) -> bool:
        """Whether Kafka says that the topic does not exist: a producer reports nothing while it waits for a topic."""
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
    except KafkaException as exception:  # larger than the client's own message.max.bytes
        report(error_of(exception), None)
        raise


def _reduced(entry: JournalEntry, errors: _DeliveryErrors) -> JournalEntry:
    """The entry without the part that Kafka refuses: otherwise it would hold up every later command.

    A dead letter first loses its value and the sender's headers, then it is left out altogether; an event that is too
    large loses the texts that it quotes. The command's own record stays in the control topic.
    """
    letter = entry.dead_letter
    if letter is not None and (errors.letter is not None or errors.no_topic or errors.failures >= _TRIES):
        why = errors.letter.str() if errors.letter is not None else "it is not taken in time"
        shorter = None if errors.letter is None or errors.no_topic else letter.shortened()
        commands = [(offset.topic, offset.partition, offset.offset - 1) for offset in entry.offsets]
        what = "left out" if shorter is None else "written without its value"
        _log.warning(f"a dead letter is {what}", topic=letter.topic, why=why, of=commands)
        return replace(entry, dead_letter=shorter)
    if errors.event is not None and errors.event.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        _log.warning("an event is too large for its topic; it is shortened", why=errors.event.str())
        return replace(entry, events=tuple(_without_quotes(event) for event in entry.events))
    return entry


def _without_quotes(event: DrillEvent) -> DrillEvent:
    """The event without the texts that it quotes, and with 100 characters of its reason."""
    reason = event.reason[:100] if event.reason else None
    return msgspec.structs.replace(event, reason=reason, requested_by=None, params=None, findings=None, intent=None)


def _raise_if_fenced(exception: KafkaException) -> None:
    error = error_of(exception)
    if is_fenced(error):
        raise Fenced(
            f"another drill runner has taken over, or Kafka has ended a transaction that stood still ({error.name()}); "
            "this runner ends"
        )
