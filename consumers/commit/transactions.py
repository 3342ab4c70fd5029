"""Answers and offsets to Kafka in one transaction: exactly-once delivery, the default.

librdkafka speaks the older transaction protocol (no KIP-890), where an EndTxn request that is delayed on the wire could
end a later transaction. So after any time-out of a commit or abort the producer is dropped and a new one is built under
the same transactional id: its higher epoch fences all requests that are still on the wire, and the committed offsets
then tell whether the transaction was committed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumers.commit.reports import Reports, is_final, produce
from consumers.commit.work import TIMEOUT_S, Replying, TopicPartitionKey, Work
from standfast.core import backoff
from standfast.core.bounded import CallThread, CallTimeout, Hung
from standfast.core.clients import Config
from standfast.core.errors import Fenced, NotInitialised
from standfast.core.kafka_errors import error_of, is_fenced
from standfast.core.producers import ABORT_S, let_go

_OFFSETS_S = 0.3  # the shortest time after which a call that sends offsets is taken for hung
# The same with a single broker, and the shortest time for its first answer to a new client: a retry finds no other
# broker. But when a broker that starts tells its clients of no broker yet, they drop it, and calls that are under way
# wait for the dropped one for ever: waiting for the calls' own time-out made answers 11 s late, for each such call.
_ONE_BROKER_S = 2.0
_NUDGE_S = 0.1  # the longest wait for one flush, and for the metadata request that follows it
# With several brokers: librdkafka retries a refused InitProducerId request after 500 ms, a new client asks at once. So
# the client is replaced this early, and from the fifth attempt on after twice the time of the one before. Only the very
# first attempt may take longer: Kafka may have to create __transaction_state.
_RECONNECT_S = 0.2
_RECONNECTS = 5
_ANSWER_S = 0.04  # how soon a refusal is noticed
# After this the worker ends, and a standby takes over, whose transactions have an id of their own.
_INITIALISE_S = 60.0
_NOT_INITIALISED = (
    "Kafka answers, but has not initialised this worker's transactions for {seconds:.0f} s: {error}; see to the "
    "leaders of __transaction_state and to the right to write with this transactional id"
)
_SETTLE_S = 2.0  # the longest wait, in each try, for the offsets that tell whether a transaction was committed
# Kafka ends an abandoned transaction after 10 s, its time-out, and looks for such every 10 s. Offsets that are unstable
# for longer than this stay so: Kafka 4.3 and 4.4 drop the markers of a transaction that they end while one of its
# partitions has no leader (KAFKA-20734).
_HANGING_S = 30.0
_log = structlog.get_logger()


class ExactlyOnce:
    """Answers and offsets of a batch in one transaction.

    Args:
        build: makes a producer with the same transactional id each time.
        group_of: the consumer group that reads a topic.
        admin: configuration of an admin client, which looks up committed offsets.
        retried: called with the name of the error each time that a transaction must be repeated.
        replies: produces answers to topics that requests name, outside the transaction.
    """

    commits_offsets = True

    def __init__(
        self,
        build: Callable[[], Producer],
        group_of: Callable[[str], str],
        admin: Config,
        retried: Callable[[str], None],
        replies: Replying,
    ) -> None:
        self.replies = replies
        self._build = build
        self._group_of = group_of
        self._admin = admin
        self._retried = retried
        self._producer = build()
        self._in_doubt = False
        self._unstable_since: float | None = None
        self._beside = CallThread()
        self._watched = False
        self._prepared: Mapping[TopicPartitionKey, int] | None = None
        self._several_brokers = False
        self._has_connected = False
        self._patience = CallTimeout(_OFFSETS_S)

    def connect(self) -> None:
        """Initialises transactions, which fences every earlier owner of the id; blocks until that succeeds.

        Raises Fenced, and NotInitialised if it has failed for a minute although Kafka answers.
        """
        attempt, deadline = 0, time.monotonic() + _INITIALISE_S
        while True:
            backoff.wait(attempt // 2 if self._several_brokers else attempt)
            answers = False
            try:
                # This also connects the client: without it one start in three waits 500 ms.
                self._several_brokers = len(self._producer.list_topics(timeout=TIMEOUT_S).brokers) > 1
                answers = True
                self._initialise(self._first_answer_s(attempt))
            except KafkaException as exception:
                error = error_of(exception)
                _raise_if_fenced(error)
                if answers and time.monotonic() > deadline:
                    raise NotInitialised(_NOT_INITIALISED.format(seconds=_INITIALISE_S, error=error.str())) from None
                log = _log.info if attempt < _RECONNECTS else _log.warning
                log("transactions not initialised yet", error=error.str(), attempt=attempt)
                self._replace()
            else:
                self._has_connected = True
                return
            attempt += 1
            if not answers:  # no broker answers: another process would not do better, and the first answer is used soon
                attempt, deadline = min(attempt, 3), time.monotonic() + _INITIALISE_S

    def _first_answer_s(self, attempt: int) -> float:
        """How long a new client is waited for; the number of brokers must be known."""
        if not self._has_connected and attempt == 0:
            return TIMEOUT_S
        shortest = _RECONNECT_S if self._several_brokers else _ONE_BROKER_S
        return float(min(TIMEOUT_S, shortest * 2 ** max(0, attempt - _RECONNECTS)))

    def _initialise(self, within_s: float) -> None:
        """Raises KafkaException if Kafka does not answer in time, and as soon as it refuses.

        It refuses, for example, while it is ending an earlier transaction of this id.
        """
        until = time.monotonic() + within_s
        while True:
            left = max(0.0, until - time.monotonic())
            try:
                self._producer.init_transactions(min(left, _ANSWER_S))
            except KafkaException as exception:
                if left <= _ANSWER_S or error_of(exception).code() != KafkaError._TIMED_OUT:  # noqa: SLF001
                    raise
            else:
                return

    def deliver(self, work: Work) -> None:
        """Blocks until the transaction is committed.

        Steps: 1. if the last failure left a commit in doubt, find out whether it succeeded; 2. begin and add the
        offsets, unless `prepare` has; 3. produce; 4. commit.
        After any failure the next try waits for delivery reports before it commits, to find records that Kafka will
        never accept. The failure itself need not name them: records that wait behind such a record make the commit time
        out.
        """
        if self._in_doubt and self._settled(work):  # 1.
            return
        reports = Reports()
        try:
            self._begin(work)  # 2.
            for record in work.outgoing:  # 3.
                produce(self._producer, record, reports.of(record) if self._watched else None)
            if self._watched:
                self._await(reports)
            self._prepared = None
            if self._several_brokers:
                self._flush()
            self._producer.commit_transaction(TIMEOUT_S)  # 4.
        except KafkaException as exception:
            self._recover(exception)
            reports.raise_unwritable()
            raise
        self._watched = False

    def prepare(self, offsets: Work) -> None:
        """Begins the transaction and adds the offsets: 0.8 ms and more, spent while the answers are computed."""
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
            self._producer.abort_transaction(ABORT_S)
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
        """Adds the offsets; raises Hung when that takes too long.

        That happens with a single broker too: one that stood still, or was killed, is not in its own cluster for a
        while, and librdkafka drops a broker that is in no metadata response.
        """
        producer = self._producer

        def send() -> None:
            producer.send_offsets_to_transaction(work.positions(), work.membership, TIMEOUT_S)

        began = time.monotonic()
        shortest = 0.0 if self._several_brokers else _ONE_BROKER_S
        try:
            self._beside.call(send, min(max(self._patience.seconds, shortest), TIMEOUT_S))
        except Hung:
            self._patience.hung()
            raise
        self._patience.returned(time.monotonic() - began)

    def _flush(self) -> None:
        """Waits for the answers to be acknowledged, and asks for metadata meanwhile, to find a new leader at once.

        Left alone, librdkafka looks for a new leader once a second, and may take another second to send to it.
        """
        until = time.monotonic() + TIMEOUT_S
        while self._producer.flush(_NUDGE_S) and time.monotonic() < until:
            with contextlib.suppress(KafkaException):
                self._producer.list_topics(timeout=_NUDGE_S)

    def _await(self, reports: Reports) -> None:
        """Waits for the delivery reports; raises KafkaException as soon as one refuses a record for good."""
        deadline = time.monotonic() + TIMEOUT_S
        while len(self._producer) and not reports.errors and time.monotonic() < deadline:
            self._producer.poll(0.01)
        if reports.errors and is_final(reports.errors[0]):
            raise KafkaException(reports.errors[0])  # any other error shows in the commit

    def _recover(self, failure: KafkaException) -> None:
        """Makes the producer ready for the next try; the commit may stay in doubt. Raises Fenced."""
        error = error_of(failure)
        _raise_if_fenced(error)
        self._retried(error.name())
        self._watched = True
        self._prepared = None
        if error.txn_requires_abort() or is_final(error):
            try:
                self._producer.abort_transaction(ABORT_S)
            except KafkaException as exception:
                _raise_if_fenced(error_of(exception))
            else:
                return
        self._in_doubt = self._in_doubt or not isinstance(failure, Hung)  # after Hung no commit had been requested
        self._replace()
        self.connect()

    def _replace(self) -> None:
        old, self._producer = self._producer, self._build()
        let_go(old)

    def _settled(self, work: Work) -> bool:
        """Whether the producer that was dropped has committed the work after all; raises KafkaException if unknown."""
        group = self._group_of(next(iter(work.offsets))[0])
        partitions = ConsumerGroupTopicPartitions(group, [TopicPartition(*key) for key in work.offsets])
        admin = AdminClient(self._admin)  # in a variable: a client that is collected does not answer
        answers = admin.list_consumer_group_offsets([partitions], require_stable=True, request_timeout=_SETTLE_S)
        try:
            committed = answers[group].result(_SETTLE_S).topic_partitions
        except TimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001
        for position in committed:
            if position.error is not None:  # not stable: the transaction may still be committed
                self._tell_if_it_hangs(group, position)
                raise KafkaException(position.error)
        self._in_doubt, self._unstable_since = False, None
        return all(position.offset >= work.offsets[position.topic, position.partition] for position in committed)

    def _tell_if_it_hangs(self, group: str, position: TopicPartition) -> None:
        """Logs, once in each `_HANGING_S`, that only a person can end the transaction that keeps this work waiting."""
        now = time.monotonic()
        if self._unstable_since is None:
            self._unstable_since = now
        elif now > self._unstable_since + _HANGING_S:
            self._unstable_since = now
            where = {"group": group, "topic": position.topic, "partition": position.partition}
            _log.error("kafka has left a transaction open", **where)


def _raise_if_fenced(error: KafkaError) -> None:
    if is_fenced(error):
        raise Fenced(
            "another process answers under this worker's identity now, or Kafka has ended a transaction that stood "
            f"still ({error.name()})"
        )
