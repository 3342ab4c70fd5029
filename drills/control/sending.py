"""Sending a command to the control topic, as any program may, and reading the answer to an order."""

from __future__ import annotations

from typing import Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from drills.control.events import FINAL, now_ms
from drills.control.outcomes import Outcomes
from drills.control.reader import TOPIC
from schemas.codec import Codec, Encoding
from schemas.records import DrillCommand, DrillEvent
from standfast.core import clients
from standfast.core.errors import ClusterError
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings

_REACH_S = 10.0  # for Kafka to acknowledge the command


class Signs(Protocol):
    """Makes the headers that sign a value."""

    def headers(self, value: bytes) -> list[tuple[str, bytes]]:
        """The headers."""


def send(
    command: DrillCommand, key: str, settings: Settings, signer: Signs | None = None, within_s: float = _REACH_S
) -> None:
    """Produces the command. Its key is the drill's id: an abort then follows its drill in the same partition.

    Raises ClusterError.
    """
    delivery_errors: list[KafkaError | None] = []
    within = {"message.timeout.ms": round(within_s * 1000)}
    producer = Producer(clients.producer(settings, "standfast-drill-run", **within))
    value = Codec().encode(command, Encoding.JSON)
    producer.produce(
        settings.kafka.topic_prefix + TOPIC,
        value,
        key,
        headers=list(signer.headers(value)) if signer else [],
        on_delivery=lambda error, _message: delivery_errors.append(error),
    )
    producer.flush(within_s)
    if not delivery_errors or delivery_errors[0] is not None:
        producer.purge()
        error = delivery_errors[0] if delivery_errors else None
        why = error.str() if error is not None else f"no answer within {within_s:g} s"
        raise ClusterError(f"Kafka at {settings.kafka.bootstrap_servers} did not take the command: {why}")


def ask(
    command: DrillCommand,
    settings: Settings,
    signer: Signs | None = None,
    *,
    within_s: float,
    reach_s: float = _REACH_S,
    begins: bool = False,
) -> DrillEvent | None:
    """Sends an order and returns its answer, None if no runner answers in time. Raises ClusterError.

    The order is valid only while its answer is waited for: what nobody has answered must not be carried out later.
    `begins`: the order begins something, and its first event is the answer; else the final one.
    """
    _refuse_if_away(settings, reach_s)
    outcomes = Outcomes(settings, Codec(), "standfast-drill-order")
    try:
        outcomes.go_to_end()
        command = msgspec.structs.replace(command, valid_until=now_ms() + round(within_s * 1000))
        send(command, command.drill_id or "", settings, signer, reach_s)
        events = outcomes.following(command.drill_id or "", within_s)
        return next((event for event in events if begins or event.phase in FINAL), None)
    finally:
        outcomes.close()


def _refuse_if_away(settings: Settings, within_s: float) -> None:
    """Raises ClusterError if Kafka does not answer in time; the readers and writers here wait longer than that."""
    try:
        AdminClient(clients.base(settings, "standfast-drill-order")).list_topics(
            settings.kafka.topic_prefix + TOPIC, within_s
        )
    except KafkaException as error:
        why = error_of(error).str()
        raise ClusterError(f"Kafka at {settings.kafka.bootstrap_servers} does not answer: {why}") from None
