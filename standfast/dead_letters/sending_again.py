"""Sends dead letters to the topics that they came from, each exactly once, also if this process is killed meanwhile.

A record and the receipt of its letter are written in one transaction. Kafka lets one process at a time hold the
transactional id: whoever begins later ends what the earlier one had not committed, and only then reads what waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.requests.admission import DEADLINE_HEADER, headers_of
from schemas.dead_letters import RECEIPT, Deed, Receipt, original_headers, said
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of, is_fenced
from standfast.core.producers import ABORT_S
from standfast.core.settings import Settings
from standfast.dead_letters.letters import Letter, Letters, Place

_BEGIN_S, _COMMIT_S = 15.0, 30.0
_MOST_RECORDS, _MOST_BYTES = 500, 4 << 20  # of one transaction


class SendingAgain:
    """Works through dead letters of one topic. Close it.

    Args:
        by: who does it; stands in the receipts.

    Raises:
        ClusterError: Kafka does not answer.
    """

    def __init__(self, settings: Settings, topic: str, by: str) -> None:
        self._settings, self._topic, self._by = settings, topic, by
        self._partitions: dict[str, int] = {}
        self._refused: list[str] = []
        name = f"{settings.kafka.topic_prefix}standfast-dead-letters-{topic}"
        self._producer = Producer(clients.transactional(settings, "standfast-dead-letters", name))
        self._letters = Letters(settings, topic)
        try:
            self._producer.init_transactions(_BEGIN_S)
        except KafkaException as error:
            self.close()
            raise self._failed(error) from None

    def close(self) -> None:
        """Ends the connections; what is not committed does not happen."""
        self._letters.close()
        self._producer.purge()

    def waiting(self) -> list[Letter]:
        """The letters that wait, read after everybody else's work on them ended."""
        return self._letters.waiting().letters

    def work(self, wanted: Collection[Place], deed: Deed) -> Iterator[int]:
        """Does it to these letters; yields how many are done after each transaction. Raises ClusterError."""
        batch: list[Consumed] = []
        done = size = 0
        for message in self._wanted(set(wanted)):
            batch.append(message)
            size += len(message)
            if len(batch) == _MOST_RECORDS or size > _MOST_BYTES:
                self._commit(batch, deed)
                done, size, batch = done + len(batch), 0, []
                yield done
        if batch:
            self._commit(batch, deed)
            yield done + len(batch)

    def _wanted(self, wanted: set[Place]) -> Iterator[Consumed]:
        for message in self._letters.records():
            if (message.partition(), message.offset()) in wanted:
                yield message

    def _commit(self, batch: Sequence[Consumed], deed: Deed) -> None:
        self._refused.clear()
        try:
            self._producer.begin_transaction()
            if deed == "sent again":
                for message in batch:
                    self._send(message)
            places = [(message.partition(), message.offset()) for message in batch]
            receipt = msgspec.json.encode(Receipt(deed, self._by, places))
            self._producer.produce(self._topic, receipt, headers=[*RECEIPT], on_delivery=self._delivered)
            self._producer.commit_transaction(_COMMIT_S)
        except KafkaException as error:
            self._abort(error)
            raise self._failed(error) from None

    def _send(self, message: Consumed) -> None:
        headers = headers_of(message) or []
        told = said(headers)
        if told is None:
            return
        ours = [header for header in original_headers(headers) if header[0] != DEADLINE_HEADER]
        place = f"{self._topic}-{message.partition()}-{message.offset()}"
        # Of an interaction the time counts, and a record's is its time if it names none. A request's latency would
        # be counted from when it was asked first.
        time = told.timestamp_ms if told.topic.endswith("interactions") else 0
        self._producer.produce(
            told.topic, message.value(), message.key(), self._partition(told.topic, told.partition),
            headers=[*ours, ("resent-from", place.encode())],
            on_delivery=self._delivered, timestamp=time,
        )  # fmt: skip

    def _partition(self, topic: str, number: int) -> int:
        """The record's own partition, so that records of one key keep their order; -1, by its key, if it is gone."""
        if topic not in self._partitions:
            self._partitions[topic] = len(self._producer.list_topics(topic, timeout=_BEGIN_S).topics[topic].partitions)
        return number if number < self._partitions[topic] else -1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused.append(f"{message.topic()}: {error.str()}")

    def _abort(self, error: KafkaException) -> None:
        if error_of(error).txn_requires_abort():
            try:
                self._producer.abort_transaction(ABORT_S)
            except KafkaException:
                self._producer.purge()  # Kafka ends the transaction itself after ten seconds

    def _failed(self, error: KafkaException) -> ClusterError:
        if is_fenced(error_of(error)):
            return ClusterError(f"somebody else has begun to work through {self._topic}; look again when that is done")
        why = self._refused[0] if self._refused else error_of(error).str()
        return ClusterError(f"Kafka did not take them ({why}); what was told as done is done, nothing else is")
