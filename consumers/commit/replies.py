"""Answers to topics that requests name: produced outside the transaction, so that no such topic blocks other requests.

They used to be produced in the transaction that commits the offsets. A topic that could not take part, because its only
replica was on a dead broker or its timestamp limits refused the transaction's marker, then stopped every partition of
the worker for as long as that lasted, in one case past a restart.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from consumers.commit.partition_counts import PartitionCounts
from consumers.commit.work import Work
from consumers.requests.answers import Answers, Outgoing
from standfast.core import telemetry
from standfast.core.kafka_errors import error_of

# The longest wait for acknowledgements of one batch, and the share of a worker's time that such waits may take in all.
_WAIT_S = 0.5
_SHARE = 0.05
_FIRST_S = 0.05  # the longest wait of a worker that has just taken over, which is to answer within 50 ms
_LEAST_S = 0.02  # a wait that is always allowed
_PROBES = 16  # the most unacknowledged answers to a reply partition that is silent
_TARGETS = 1000  # reply partitions that are remembered
_CONNECT_S = 5.0
_MISSING = "it does not exist"
_SILENT = "it acknowledges nothing at present"
_log = structlog.get_logger()


@dataclass(slots=True)
class _ReplyPartition:
    """A partition of a reply topic, or the topic as a whole where the key decides.

    `waiting`: answers sent and not acknowledged. `silent`: one was not acknowledged in time, and none has been since.
    """

    waiting: int = 0
    silent: bool = False


@dataclass(slots=True)
class _Reply:
    """One answer that is being sent. `failure`: why it must be replaced; "" once acknowledged, None until then."""

    answer: Outgoing
    target: _ReplyPartition
    failure: str | None = None


class Allowance:
    """How long a worker may wait for reply topics: a twentieth of its time, which adds up to half a second at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._saved, self._at = _FIRST_S, clock()

    @property
    def seconds(self) -> float:
        """Seconds that a wait for reply topics may last if it begins now."""
        now = self._clock()
        self._saved, self._at = min(_WAIT_S, self._saved + _SHARE * (now - self._at)), now
        return max(_LEAST_S, self._saved)

    def spend(self, seconds: float) -> None:
        """Subtracts a wait that ended without all acknowledgements."""
        self._saved = max(0.0, self._saved - seconds)


class Replies:
    """Produces the answers to reply topics; for the committing thread only.

    An answer that is not acknowledged in time is replaced, and its reply partition is not waited for any more until it
    acknowledges again.

    Args:
        build: makes the producer, which has no transactions.
        answers: makes the records that are produced in the transaction in the place of an answer that failed.
    """

    def __init__(self, build: Callable[[], Producer], counts: PartitionCounts, answers: Answers) -> None:
        self._build = build
        self._counts = counts
        self._answers = answers
        self._made: Producer | None = None
        self._targets: OrderedDict[tuple[str, int], _ReplyPartition] = OrderedDict()
        self._allowance = Allowance()

    def connect(self, results: Collection[str]) -> None:
        """Makes the connections that the first reply would wait for, and looks up our result topics; blocks."""
        self._counts.wait(results, _CONNECT_S)
        try:
            self._producer.list_topics(next(iter(results)), timeout=_CONNECT_S)
        except KafkaException as error:
            _log.warning("the producer of replies is not connected yet", error=error_of(error).str())

    def deliver(self, work: Work) -> Work:
        """Sends the work's replies, and returns the work without those that were acknowledged; others are replaced.

        Blocks for half a second at most.
        """
        named = [answer for answer in work.outgoing if answer.to_named]
        if not named:
            return work
        began, within_s = time.monotonic(), self._allowance.seconds
        self._counts.wait({answer.topic for answer in named}, within_s)
        replies = {id(answer): self._send(answer) for answer in named}
        self._await([reply for reply in replies.values() if reply.failure is None], began + within_s)
        waited_s = time.monotonic() - began
        telemetry.WAITED.labels(named[0].origin.topic, "replies").inc(waited_s)
        late = [reply for reply in replies.values() if reply.failure is None]
        if late:
            self._allowance.spend(waited_s)
            for reply in late:
                _give_up(reply, waited_s)
        outgoing = [kept for record in work.outgoing for kept in self._settled(record, replies.get(id(record)))]
        return replace(work, outgoing=outgoing)

    @property
    def _producer(self) -> Producer:
        if self._made is None:
            self._made = self._build()
        return self._made

    def _settled(self, record: Outgoing, reply: _Reply | None) -> Sequence[Outgoing]:
        """The records that the transaction produces for this answer: none if its reply topic has acknowledged it."""
        if reply is None:
            return [record]
        if not reply.failure:
            return []
        if reply.failure == _MISSING:
            return [self._answers.to_ours(record)]
        telemetry.FAILURES.labels(record.origin.topic, "reply").inc()
        return self._answers.unreplied(record, reply.failure)

    def _send(self, answer: Outgoing) -> _Reply:
        """Puts the answer into the producer's queue, unless its topic is missing or silent."""
        count = self._counts(answer.topic)
        partition = answer.to_partition if count and answer.to_partition < count else -1
        reply = _Reply(answer, self._target(answer.topic, partition))
        target = reply.target
        if not count:
            reply.failure = _MISSING if count == 0 else "Kafka has not said in time whether it exists"
        elif target.silent and target.waiting >= _PROBES:
            reply.failure = _SILENT
        else:
            silent = target.silent
            self._produce(reply, partition)
            if silent and reply.failure is None:  # sent as a probe: it is replaced without waiting for its outcome
                reply = _Reply(answer, target, _SILENT)
        return reply

    def _produce(self, reply: _Reply, partition: int) -> None:
        target, answer = reply.target, reply.answer

        def report(error: KafkaError | None, _message: object) -> None:
            target.waiting -= 1
            if error is None or error.code() > 0:  # the broker has answered; the client's own errors are negative
                target.silent = False
            if reply.failure is None:
                reply.failure = error.name() if error is not None else ""

        target.waiting += 1
        try:
            self._producer.produce(
                answer.topic,
                answer.value,
                answer.key,
                partition,
                on_delivery=report,
                headers=answer.headers,  # type: ignore[arg-type]  # a list of narrower pairs will do: it is only read
            )
        except BufferError:
            target.waiting -= 1
            reply.failure = "too many answers wait to be acknowledged"
        except KafkaException as error:
            target.waiting -= 1
            reply.failure = error_of(error).name()

    def _await(self, replies: Sequence[_Reply], until: float) -> None:
        if self._made is not None:
            self._made.poll(0)  # also serves the delivery reports of answers that were given up earlier
        while any(reply.failure is None for reply in replies) and (left := until - time.monotonic()) > 0:
            self._producer.poll(min(left, 0.05))

    def _target(self, topic: str, partition: int) -> _ReplyPartition:
        target = self._targets.setdefault((topic, partition), _ReplyPartition())
        self._targets.move_to_end((topic, partition))
        if len(self._targets) > _TARGETS:
            self._targets.popitem(last=False)
        return target


def _give_up(reply: _Reply, waited_s: float) -> None:
    reply.failure = f"it did not acknowledge within {waited_s * 1000:.0f} ms"
    if not reply.target.silent:
        reply.target.silent = True
        _log.warning("a reply topic does not acknowledge; it is not waited for until it does", topic=reply.answer.topic)
