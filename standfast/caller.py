"""A client for scripts and the command line: sends requests to Kafka and waits for the committed answers."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import Codec, Encoding, Malformed
from schemas.configured import codec_for
from schemas.records import Interaction, Record, Result, ServiceRequest
from standfast.core import clients
from standfast.core.errors import ClusterError, NoAnswer, TopicError, Unreadable
from standfast.core.kafka_errors import error_of
from standfast.core.processes.locating import located
from standfast.core.services import TABLE, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from standfast.core.settings import Settings

_TOPICS: dict[type[Record], str] = {
    **{resolved(spec.request): f"{name}.requests" for name, spec in TABLE.items()},
    Interaction: "interactions",
}
_BY_USER = {resolved(spec.request): spec.histories for spec in TABLE.values()}
_RESULTS = tuple(f"{name}.results" for name in TABLE)
_REACH_S = 10.0
_POLL_S = 0.1
_REGISTRY_S = 5.0  # for the schema registry, in the Confluent wire format only
_NEW_TOPIC_S = 2.0  # until every broker knows a topic that was just created
_MOVING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}


class Caller:
    """A client of all services: one producer, and one consumer of every partition of the result topics.

    It assigns its partitions itself instead of joining a group, so any number of callers may run at once. It sees the
    answers committed after its construction. Not thread-safe.
    """

    def __init__(self, settings: Settings, encoding: Encoding = Encoding.JSON) -> None:
        """Connects to the configured Kafka, else to that of the running system; blocks for up to 10 s.

        Raises:
            ClusterError: no Kafka is configured or running, or it does not answer.
            TopicError: a result topic is missing.
        """
        self._settings = located(settings)
        self._prefix = self._settings.kafka.topic_prefix
        self._encoding = encoding
        self._codec = self._codec_of(encoding)
        self._consumer = Consumer(clients.answers(self._settings, "standfast-caller"))
        try:
            self._consumer.assign(self._ends())
            self._producer = Producer(clients.requests(self._settings, "standfast-caller"))
        except BaseException:
            self._consumer.close()
            raise

    def ask(self, request: ServiceRequest, timeout: float = 10.0) -> Result:
        """The committed answer to one request; a request without an id gets a random one.

        Raises:
            NoAnswer: none came within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        request_id = request.request_id or uuid.uuid4().hex
        self.send(msgspec.structs.replace(request, request_id=request_id), timeout)
        answers = self.answers([request_id], deadline - time.monotonic())
        if not answers:
            raise NoAnswer(
                f"no answer to request {request_id} of {_topic(request)} within {timeout:g} s; are its workers "
                "serving? see `standfast status`, or start a system with `standfast up --detach`"
            )
        return answers[request_id]

    def answers(self, request_ids: Iterable[str], timeout: float) -> dict[str, Result]:
        """The answers that came within `timeout` seconds, by request id.

        The requests may be anybody's, as long as they were sent after this caller's construction.
        """
        deadline = time.monotonic() + timeout
        awaited = set(request_ids)
        answers: dict[str, Result] = {}
        while awaited and (left := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(min(left, _POLL_S))
            if message is None:
                continue
            if (error := message.error()) is not None:
                _raise_if_hopeless(error)
            elif (result := self._read(message)) and result.request_id in awaited:
                answers[result.request_id] = result
                awaited.remove(result.request_id)
        return answers

    def send(self, record: ServiceRequest | Interaction, timeout: float = 10.0) -> None:
        """Produces one record and waits until Kafka acknowledges it.

        Raises:
            NoAnswer: Kafka did not acknowledge it within `timeout` seconds.
            ClusterError: Kafka refused it.
        """
        delivered: list[KafkaError | None] = []
        self._producer.produce(
            self._prefix + _topic(record),
            key=_key(record),
            value=self._codec.encode(record, self._encoding),
            on_delivery=lambda error, _message: delivered.append(error),
        )
        self._producer.flush(timeout)
        if not delivered:
            self._producer.purge()
            raise NoAnswer(
                f"Kafka at {self._settings.kafka.bootstrap_servers} did not take the request within {timeout:.1f} s; "
                "see `standfast status`"
            )
        if delivered[0] is not None:
            raise ClusterError(f"Kafka refused the request: {delivered[0].str()}; see `standfast topics`")

    def close(self) -> None:
        """Closes the consumer; every record sent was acknowledged before `send` returned."""
        self._consumer.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, message: Message) -> Result | None:
        try:
            return self._codec.decode(message.value(), Result)[0]
        except (Unreadable, Malformed):
            return None  # an answer to another client, in an encoding this codec does not read

    def _ends(self) -> list[TopicPartition]:
        """The current end offset of every result partition.

        Resolved here, before any request is sent: by the first poll it could lie behind this caller's own answer.
        """
        deadline = time.monotonic() + _REACH_S
        while True:
            try:
                partitions = [partition for topic in _RESULTS for partition in self._partitions(self._prefix + topic)]
                # One ListOffsets round for all partitions; as a timestamp, -1 (OFFSET_END) means the end offset.
                ends: list[TopicPartition] = self._consumer.offsets_for_times(partitions, timeout=_REACH_S)
            except KafkaException as error:
                if error_of(error).code() not in _MOVING or time.monotonic() > deadline:
                    raise self._unreachable(error) from None
                time.sleep(_POLL_S)
            except TopicError:
                if time.monotonic() > deadline - _REACH_S + _NEW_TOPIC_S:
                    raise
                time.sleep(_POLL_S)
            else:
                return ends

    def _unreachable(self, error: KafkaException) -> ClusterError:
        return ClusterError(
            f"Kafka at {self._settings.kafka.bootstrap_servers} does not answer: {error_of(error).str()}; start it, or "
            "correct KAFKA_BOOTSTRAP_SERVERS"
        )

    def _partitions(self, topic: str) -> list[TopicPartition]:
        metadata = self._consumer.list_topics(topic, timeout=_REACH_S).topics[topic]
        if metadata.error is not None:
            raise TopicError(
                f"the topic {topic} is missing ({metadata.error.str()}); create it with `standfast topics`"
            )
        return [TopicPartition(topic, number, OFFSET_END) for number in metadata.partitions]

    def _codec_of(self, encoding: Encoding) -> Codec:
        if encoding is not Encoding.CONFLUENT:
            return Codec()
        sent = {kind: self._prefix + topic for kind, topic in _TOPICS.items()}
        return codec_for(self._settings, sent=sent, patience_s=_REGISTRY_S)


def _topic(record: ServiceRequest | Interaction) -> str:
    return _TOPICS[type(record)]


def _key(record: ServiceRequest | Interaction) -> str | None:
    """The user id where order matters per user (interactions, services with histories), else the request id."""
    if isinstance(record, Interaction) or _BY_USER[type(record)]:
        return record.user_id
    return record.request_id


def _raise_if_hopeless(error: KafkaError) -> None:
    if error.fatal() or error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION}:  # noqa: SLF001 - public in librdkafka
        raise ClusterError(f"the answers cannot be read: {error.str()}; check the client's rights and credentials")
