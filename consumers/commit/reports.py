"""The delivery reports of a batch's records, and which of them say that Kafka will never accept a record."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from consumers.commit.work import Unwritable
from consumers.requests.answers import Outgoing
from standfast.core.kafka_errors import error_of

# Kafka's errors for a record that it will not accept however often it is sent. Every record here is for one of our own
# topics.
_NEVER = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
}
# The same for a topic. No answer is dropped for these, because operators can repair a topic of ours.
_NEVER_HERE = {
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}
Report = Callable[[KafkaError | None, object], None]


class Reports:
    """Collects the delivery reports of one batch."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []
        self._failed: list[tuple[Outgoing, KafkaError]] = []

    def of(self, record: Outgoing) -> Report:
        """The callback for this record's delivery report."""

        def report(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                self.errors.append(error)
                self._failed.append((record, error))

        return report

    def raise_unwritable(self) -> None:
        """Raises Unwritable if there is a record that Kafka will never accept."""
        never = [(record, error.name()) for record, error in self._failed if error.code() in _NEVER]
        if never:
            raise Unwritable(never) from None


def is_final(error: KafkaError) -> bool:
    """Whether the error would be the same however often the record is sent."""
    return error.code() in _NEVER | _NEVER_HERE


def produce(producer: Producer, record: Outgoing, report: Report | None) -> None:
    """Puts the record in the producer's queue, waiting for room; any other error is reported, and raised."""
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.to_partition,
                on_delivery=report,
                headers=record.headers,  # type: ignore[arg-type]  # a list of narrower pairs will do: it is only read
            )
        except BufferError:  # the local queue is full: wait for deliveries
            producer.poll(0.1)
        except KafkaException as exception:
            if report is not None:
                report(error_of(exception), None)
            raise
        else:
            return
