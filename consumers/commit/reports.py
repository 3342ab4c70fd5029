"""What Kafka says to each record of a batch, and which records it will never take."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from consumers.commit.work import Unwritable
from consumers.requests.answers import Outgoing
from standfast.core.kafka_errors import error_of

# What Kafka says to a record that it will not take however often it is sent. All records are for topics of ours here.
_NEVER = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
}
# The same, of a topic: no reason to give up answers, because a topic of ours may be put right.
_NEVER_HERE = {
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}
Report = Callable[[KafkaError | None, object], None]


class Reports:
    """What Kafka says to each record of a batch."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []
        self._failed: list[tuple[Outgoing, KafkaError]] = []

    def of(self, one: Outgoing) -> Report:
        """The callback that takes what is said to this one."""

        def report(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                self.errors.append(error)
                self._failed.append((one, error))

        return report

    def raise_unwritable(self) -> None:
        """Raises Unwritable if there is a record that Kafka will never take."""
        never = [(one, error.name()) for one, error in self._failed if error.code() in _NEVER]
        if never:
            raise Unwritable(never) from None


def is_final(error: KafkaError) -> bool:
    """Whether Kafka would say the same however often the record is sent."""
    return error.code() in _NEVER | _NEVER_HERE


def produce(producer: Producer, one: Outgoing, report: Report | None) -> None:
    """Puts the record in the producer's queue, waiting for room; what cannot be put there is reported and raised."""
    while True:
        try:
            producer.produce(
                one.topic,
                one.value,
                one.key,
                one.to_partition,
                on_delivery=report,
                headers=one.headers,  # type: ignore[arg-type]  # a list of narrower pairs will do: it is only read
            )
        except BufferError:  # the local queue is full: let deliveries drain it
            producer.poll(0.1)
        except KafkaException as exception:
            if report is not None:
                report(error_of(exception), None)
            raise
        else:
            return
