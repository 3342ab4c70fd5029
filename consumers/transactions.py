"""Answers and offsets to Kafka: in one transaction (the default), or at least once.

librdkafka speaks the older transaction protocol (no KIP-890), where an EndTxn that is delayed on the wire could still
end a later transaction. So after any time-out of a commit or abort the producer is dropped and a new one is built under
the same transactional id: its higher epoch fences whatever is still under way, and the committed offsets then tell
whether the transaction had gone through.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.answers import Outgoing
from consumers.bounded import Beside, Hung, Patience
from standfast.errors import Fenced

_TIMEOUT_S = 10.0
_BACKOFF_S = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
_OFFSETS_S = 0.3  # the least that the offsets may take before the call is given up for hung
_ONE_BROKER_S = _TIMEOUT_S + 1.0  # the same where no other broker can be asked: the call has a time-out, if it keeps it
_NUDGE_S = 0.1
# With another broker to be found a client asks twice a second; a new one asks at once. From the fifth on doubled.
_RECONNECT_S = 0.2
_RECONNECTS = 5
_SETTLE_S = 2.0  # of each try to find out whether a commit went through
# Another process has our identity: whatever we hold is theirs now.
_FENCED = {
    KafkaError._FENCED,  # noqa: SLF001 - confluent_kafka's own name for it
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
}

# What Kafka says to a record that it will not take however often it is sent.
_NEVER = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.POLICY_VIOLATION,
}
# The same, of a topic: no reason to give up answers to our own, which may be put right.
_NEVER_HERE = {
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}

TopicPartitionKey = tuple[str, int]
Report = Callable[[KafkaError | None, object], None]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Work:
    """What one batch owes to Kafka.

    `offsets` are next to read, by request partition; `timestamps_ms` are those of the requests it answers; `membership`
    is the consumer's group metadata, which proves to Kafka that the offsets are this worker's to commit.
    `backlog_since` is when the batch was picked (`time.perf_counter`), if more than it waited then.
    """

    outgoing: Sequence[Outgoing]
    offsets: Mapping[TopicPartitionKey, int]
    timestamps_ms: Sequence[int]
    membership: object = None
    backlog_since: float | None = None

    def without(self, lost: set[TopicPartitionKey]) -> Work:
        """The same less what came from partitions that are no longer ours."""
        if lost.isdisjoint(self.offsets):
            return self
        return replace(
            self,
            outgoing=[one for one in self.outgoing if one.source not in lost],
            offsets={key: offset for key, offset in self.offsets.items() if key not in lost},
        )

    def positions(self) -> list[TopicPartition]:
        """The offsets as Kafka's clients take them."""
        return [TopicPartition(topic, partition, at) for (topic, partition), at in self.offsets.items()]


class Unwritable(Exception):
    """Kafka will never take these records, each with its reason; nothing of their batch has been committed."""

    def __init__(self, records: Sequence[tuple[Outgoing, str]]) -> None:
        super().__init__(f"{len(records)} records, the first to {records[0][0].topic}: {records[0][1]}")
        self.records = records


class Delivery(Protocol):
    """One way of bringing a batch's work to Kafka. None touches the consumer: see `Worker`."""

    commits_offsets: bool

    def prepare(self, offsets: Work) -> None:
        """Does what can be done before there are answers; blocks, raises Fenced. `deliver` or `withdraw` follows."""

    def withdraw(self) -> None:
        """Takes back what `prepare` did; blocks, raises Fenced."""

    def deliver(self, work: Work) -> None:
        """Blocks until the work is done; raises Fenced, Unwritable, or KafkaException if it is to be tried again."""


class ExactlyOnce:
    """Answers and offsets of a batch in one transaction.

    Args:
        build: makes a producer with the same transactional id each time.
        group_of: the consumer group that reads a topic.
        admin: configuration of a client that can look committed offsets up.
        retried: is told why a transaction had to be done again.
    """

    commits_offsets = True

    def __init__(
        self,
        build: Callable[[], Producer],
        group_of: Callable[[str], str],
        admin: dict[str, object],
        retried: Callable[[str], None],
    ) -> None:
        self._build = build
        self._group_of = group_of
        self._admin = admin
        self._retried = retried
        self._producer = build()
        self._in_doubt = False
        self._beside = Beside()
        self._watched = False
        self._prepared: Mapping[TopicPartitionKey, int] | None = None
        self._several_brokers = False
        self._patience = Patience(_OFFSETS_S)

    def connect(self) -> None:
        """Initialises transactions, which fences every earlier owner of the id; blocks until Kafka answers."""
        again = self._several_brokers
        for attempt in itertools.count():
            backoff(attempt)
            within_s = _RECONNECT_S * 2 ** max(0, attempt - _RECONNECTS) if again else _TIMEOUT_S
            try:
                # It connects, too: without that one start in three waits 500 ms.
                self._several_brokers = len(self._producer.list_topics(timeout=_TIMEOUT_S).brokers) > 1
                self._producer.init_transactions(min(within_s, _TIMEOUT_S))
            except KafkaException as exception:
                error = _error(exception)
                _raise_if_fenced(error)
                _log.warning("transactions not initialised yet", error=error.str(), attempt=attempt)
                self._replace()
            else:
                return

    def deliver(self, work: Work) -> None:
        """Blocks until the transaction is committed.

        The steps: 1. settle what the last failure left open; 2. begin and add the offsets, which may have been done
        while the answers were computed; 3. produce; 4. commit.
        After any failure the next try watches whether there are records that Kafka will never take: the failure itself
        need not say so, because records that wait behind such a one let the commit time out.
        """
        if self._in_doubt and self._settled(work):  # 1.
            return
        reports = Reports()
        try:
            self._begin(work)  # 2.
            for one in work.outgoing:  # 3.
                _produce(self._producer, one, reports.of(one) if self._watched else None)
            if self._watched:
                self._await(reports)
            self._prepared = None
            if self._several_brokers:
                self._send_out()
            self._producer.commit_transaction(_TIMEOUT_S)  # 4.
        except KafkaException as exception:
            self._recover(exception)
            reports.raise_unwritable(_error(exception))
            _raise_if_gone(self._producer, work)
            raise
        self._watched = False

    def prepare(self, offsets: Work) -> None:
        """Begins the transaction and adds the offsets: 0.8 ms and more that the answers need not wait for."""
        if self._in_doubt or self._watched:
            return
        try:
            self._begin(offsets)
        except KafkaException as exception:
            self._recover(exception)

    def withdraw(self) -> None:
        """Aborts a transaction that was only prepared."""
        if self._prepared is None:
            return
        self._prepared = None
        try:
            self._producer.abort_transaction(_TIMEOUT_S)
        except KafkaException as exception:
            self._recover(exception)

    def _begin(self, work: Work) -> None:
        if self._prepared == work.offsets:
            return
        self.withdraw()
        self._producer.begin_transaction()
        self._send_offsets(work)
        self._prepared = work.offsets

    def _send_offsets(self, work: Work) -> None:
        """Raises Hung when it takes too long, of one broker too: if it stood still it has left its own cluster."""
        producer = self._producer

        def send() -> None:
            producer.send_offsets_to_transaction(work.positions(), work.membership, _TIMEOUT_S)

        began = time.monotonic()
        try:
            self._beside.call(send, min(self._patience.seconds, _TIMEOUT_S) if self._several_brokers else _ONE_BROKER_S)
        except Hung:
            self._patience.hung()
            raise
        self._patience.returned(time.monotonic() - began)

    def _send_out(self) -> None:
        """Waits for the answers to be written, and sees to it that a new leader is found as soon as there is one.

        By itself the client looks for one once a second, and may take another until it sends there.
        """
        until = time.monotonic() + _TIMEOUT_S
        while self._producer.flush(_NUDGE_S) and time.monotonic() < until:
            with contextlib.suppress(KafkaException):
                self._producer.list_topics(timeout=_NUDGE_S)

    def _await(self, reports: Reports) -> None:
        """Waits for what Kafka says to the records; raises KafkaException at the first that it does not take."""
        deadline = time.monotonic() + _TIMEOUT_S
        while len(self._producer) and not reports.errors and time.monotonic() < deadline:
            self._producer.poll(0.01)
        if reports.errors and reports.errors[0].code() in _NEVER | _NEVER_HERE:
            raise KafkaException(reports.errors[0])  # what else there may be, the next step says

    def _recover(self, failure: KafkaException) -> None:
        """Leaves the producer ready for the next try, or in doubt."""
        error = _error(failure)
        _raise_if_fenced(error)
        self._retried(error.name())
        self._watched = True
        self._prepared = None
        if error.txn_requires_abort() or error.code() in _NEVER | _NEVER_HERE:
            try:
                self._producer.abort_transaction(_TIMEOUT_S)
            except KafkaException as exception:
                _raise_if_fenced(_error(exception))
            else:
                return
        self._in_doubt = self._in_doubt or not isinstance(failure, Hung)  # whose commit was never asked for
        self._replace()
        self.connect()

    def _replace(self) -> None:
        old, self._producer = self._producer, self._build()
        # Its destructor waits for requests in flight: not on the serving path.
        threading.Thread(target=old.purge, daemon=True).start()

    def _settled(self, work: Work) -> bool:
        """Whether the work had been committed after all by the producer that was dropped."""
        group = self._group_of(next(iter(work.offsets))[0])
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*key) for key in work.offsets])
        admin = AdminClient(self._admin)  # kept in hand: the question ends unanswered with the client
        answers = admin.list_consumer_group_offsets([asked], require_stable=True, request_timeout=_SETTLE_S)
        try:
            found = answers[group].result(_SETTLE_S).topic_partitions
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001
        for one in found:
            if one.error is not None:  # not stable yet: it may still turn out to be committed
                raise KafkaException(one.error)
        self._in_doubt = False
        return all(one.offset >= work.offsets[one.topic, one.partition] for one in found)


class AtLeastOnce:
    """Answers first, then offsets: a worker that dies between the two answers twice."""

    commits_offsets = False

    def __init__(self, build: Callable[[], Producer]) -> None:
        self._producer = build()

    def prepare(self, offsets: Work) -> None:
        """Nothing: offsets come after the answers."""

    def withdraw(self) -> None:
        """Nothing."""

    def deliver(self, work: Work) -> None:
        """Blocks until every answer is acknowledged; the worker commits the offsets after that."""
        reports = Reports()
        try:
            for one in work.outgoing:
                _produce(self._producer, one, reports.of(one))
        finally:
            self._producer.flush(_TIMEOUT_S)
            reports.raise_unwritable()
        if reports.errors or len(self._producer):
            _raise_if_gone(self._producer, work)
            raise KafkaException(reports.errors[0] if reports.errors else KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001


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

    def raise_unwritable(self, of_all: KafkaError | None = None) -> None:
        """Raises Unwritable if there is a record that Kafka will never take.

        A topic that may not take part in a transaction fails the transaction (`of_all`), and its records are only said
        to have been thrown away: of those, the ones to topics that requests named are meant.
        """
        never = [(one, error.name()) for one, error in self._failed if _never(one, error)]
        if not never and of_all is not None:
            never = [(one, of_all.name()) for one, _ in self._failed if one.to_named and _never(one, of_all)]
        if never:
            raise Unwritable(never) from None


def _never(one: Outgoing, error: KafkaError) -> bool:
    return error.code() in _NEVER or (one.to_named and error.code() in _NEVER_HERE)


def _raise_if_gone(producer: Producer, work: Work) -> None:
    """Raises Unwritable for records to topics that requests named and that are not there any more.

    A client waits for such a topic, longer than a transaction may last.
    """
    named = {one.topic for one in work.outgoing if one.to_named}
    try:
        found = {topic: producer.list_topics(topic, _TIMEOUT_S).topics[topic].error for topic in named}
    except KafkaException as exception:
        _log.warning("reply topics cannot be looked up", error=_error(exception).str())
        return
    gone = {topic: error.name() for topic, error in found.items() if error and error.code() in _NEVER_HERE}
    if gone:
        raise Unwritable([(one, gone[one.topic]) for one in work.outgoing if one.topic in gone]) from None


def _produce(producer: Producer, one: Outgoing, report: Report | None) -> None:
    """Puts the record in the producer's queue, waiting for room; what cannot be put there is reported and raised."""
    more = {} if report is None else {"on_delivery": report}
    while True:
        try:
            producer.produce(one.topic, one.value, one.key, one.to_partition, headers=one.headers, **more)
        except BufferError:  # the local queue is full: let deliveries drain it
            producer.poll(0.1)
        except KafkaException as exception:
            if report is not None:
                report(_error(exception), None)
            raise
        else:
            return


def backoff(attempt: int) -> None:
    """Waits as long as the n-th failure in a row deserves."""
    time.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])


def _error(exception: KafkaException) -> KafkaError:
    error: KafkaError = exception.args[0]
    return error


def _raise_if_fenced(error: KafkaError) -> None:
    if error.code() in _FENCED or error.fatal():
        raise Fenced(f"another process answers under this worker's identity now ({error.name()})")
