"""How a host's records and files travel: to `models`, and in chunks through `models.files`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from consumers.versions.records import FILES, TOPIC, Key, Place, Value
from models import chunks, registry
from models.manifests import Manifest
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ModelError
from standfast.core.kafka_errors import error_of, is_partition_end
from standfast.core.processes import role_word
from standfast.core.settings import Settings

_TAKEN_WITHIN_S = 10.0  # by Kafka, for each record
_IN_FLIGHT = 8  # chunks: more would wait in memory
_SILENT_S = 10.0  # without a record, while there is more
_AT_ONCE = 8
_ANSWER_S = 5.0


class KafkaWire:
    """The two topics. Not thread-safe. Setting `stop` ends what lasts, with ModelError."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._models, self._files = (settings.kafka.topic_prefix + name for name in (TOPIC, FILES))
        self._made: Producer | None = None
        self._places: list[Place] = []
        self._error: KafkaError | None = None

    def tell(self, key: Key, value: Value | None) -> Place:
        """Writes a record to `models`; where it is, once Kafka has it. Raises KafkaException."""
        encoded = None if value is None else msgspec.json.encode(value)
        [place] = self._produced(self._models, [(key.text.encode(), encoded)])
        return place

    def send(self, manifest: Manifest) -> int:
        """Puts a version's files on their topic; the offset of the first chunk.

        Raises ModelError, also for a version that is not whole here.
        """
        folder, _ = registry.checked(manifest.name, manifest.version)
        with self._about_files():
            places = self._produced(self._files, chunks.chunks(folder, manifest))
        return min((place.offset for place in places), default=0)

    def forget(self, manifest: Manifest) -> None:
        """Deletes a version's files from their topic. Raises ModelError."""
        with self._about_files():
            self._produced(self._files, ((key, None) for key in chunks.keys(manifest)))

    def fetch(self, manifest: Manifest, first: int) -> None:
        """Publishes the version here, from its files on the topic. Raises ModelError."""
        with self._about_files():
            registry.place(manifest, lambda draft: chunks.assemble(manifest, self._received(first), draft))

    @contextmanager
    def _about_files(self) -> Iterator[None]:
        """Trouble with the files, such as a topic that is missing, must not keep the host from following `models`."""
        try:
            yield
        except KafkaException as error:
            raise ModelError(f"{self._files}: {error_of(error).str()}") from None

    def _produced(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> list[Place]:
        producer = self._producer()
        self._places, self._error = [], None
        for key, value in records:
            producer.produce(topic, value, key, on_delivery=self._delivered)
            self._drain(producer, _IN_FLIGHT)
        self._drain(producer, 0)
        return self._places

    def _drain(self, producer: Producer, most: int) -> None:
        """Waits until no more than so many records are on their way."""
        while len(producer) > most and self._error is None and not self._stop.is_set():
            role_word.beat()
            producer.poll(0.1)
        if self._error is not None or len(producer) > most:
            producer.purge()
            producer.poll(0)
            raise KafkaException(self._error or KafkaError(KafkaError._PURGE_QUEUE))  # noqa: SLF001

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._error = self._error or error
        else:
            taken = cast("Consumed", message)
            self._places.append(Place(taken.partition(), taken.offset()))

    def _producer(self) -> Producer:
        if self._made is None:
            within = {"message.timeout.ms": round(_TAKEN_WITHIN_S * 1000)}
            self._made = Producer(clients.producer(self._settings, "standfast-models", **within))
        return self._made

    def _received(self, first: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and contents of the chunks on the topic, from that offset to its end."""
        config = clients.follower(self._settings, "standfast-models-files")
        consumer = Consumer({**config, "enable.partition.eof": True})
        try:
            left = self._assign(consumer, first)
            heard_at = time.monotonic()
            while left and not self._stop.is_set():
                role_word.beat()
                for message in cast("list[Consumed]", consumer.consume(_AT_ONCE, 0.1)):
                    heard_at = time.monotonic()
                    if is_partition_end(message.error()):
                        left.discard(message.partition())
                    elif message.error() is None and (content := message.value()) is not None:
                        yield message.key() or b"", content
                if time.monotonic() - heard_at > _SILENT_S:
                    raise ModelError(f"{self._files} has been silent for {_SILENT_S:g} s")
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer, first: int) -> set[int]:
        topic = consumer.list_topics(self._files, timeout=_ANSWER_S).topics[self._files]
        if topic.error is not None:
            raise KafkaException(topic.error)
        only_one = len(topic.partitions) == 1
        places = [
            TopicPartition(self._files, number, first if only_one else OFFSET_BEGINNING) for number in topic.partitions
        ]
        consumer.assign(places)
        return set(topic.partitions)
