"""What Kafka's errors mean to whoever catches one."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

# Another process has taken this one's identity: its transactional id, or its place as a static member of a group.
_FENCED = frozenset({
    KafkaError._FENCED,  # noqa: SLF001 - confluent_kafka's own names, here and below
    KafkaError._FATAL,  # noqa: SLF001 - the client has failed before, and now says only that
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
})  # fmt: skip


def error_of(exception: KafkaException) -> KafkaError:
    """The error that it carries."""
    error: KafkaError = exception.args[0]
    return error


def is_fenced(error: KafkaError) -> bool:
    """Whether the client is at its end, because another process has its identity; no new client may be built for it."""
    return error.fatal() or error.code() in _FENCED
