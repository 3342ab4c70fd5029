"""Helpers for Kafka's exceptions and error codes."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

# Another process uses this one's identity: its transactional id or its `group.instance.id`.
_FENCED = frozenset({
    KafkaError._FENCED,  # noqa: SLF001 - confluent_kafka's own names, here and below
    KafkaError._FATAL,  # noqa: SLF001 - every call's error after the client's first fatal one
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
})  # fmt: skip


def error_of(exception: KafkaException) -> KafkaError:
    """The KafkaError inside the exception."""
    error: KafkaError = exception.args[0]
    return error


def is_partition_end(error: KafkaError | None) -> bool:
    """Whether it is no error but the report that a partition was read to its end (`enable.partition.eof`)."""
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001


def is_fenced(error: KafkaError) -> bool:
    """Whether another process has taken this client's identity; no new client may be built with it then."""
    return error.fatal() or error.code() in _FENCED
