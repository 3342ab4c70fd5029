"""Answers to topics that requests name: sent beside the transaction, so that no such topic can hold anybody else.

They used to go in the transaction that commits the offsets. A topic that did not take its part, with its only replica
on a dead broker or with time-stamp limits that refuse the transaction's marker, then stopped every partition of the
worker for as long as that lasted, in one case past a restart.
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

# The longest wait for acknowledgements in one go, and the share of a worker's time that such waits may take in all.
_WAIT_S = 0.5
_SHARE = 0.05
_FIRST_S = 0.05  # of a worker that has just taken over, which is to answer within 50 ms
_LEAST_S = 0.02
_PROBES = 16  # unacknowledged at a time to a place that is silent
_PLACES = 1000
_CONNECT_S = 5.0
_MISSING = "it does not exist"
_SILENT = "it acknowledges nothing at present"
_log = structlog.get_logger()


@dataclass(slots=True)
class _ReplyPartition:
    """A reply topic's partition, or the topic where the key decides. `silent`: it did not acknowledge in time."""

    waiting: int = 0
    silent: bool = False


@dataclass(slots=True)
class _Reply:
    """One answer on its way. `failure`: why it is to be replaced; "" once acknowledged, None while that is open."""

    one: Outgoing
    place: _ReplyPartition
    failure: str | None = None


class Allowance:
    """How long a worker may wait for reply topics: a twentieth of its time, saved up to half a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._saved, self._at = _FIRST_S, clock()

    @property
    def seconds(self) -> float:
        """For the wait that begins now."""
        now = self._clock()
        self._saved, self._at = min(_WAIT_S, self._saved + _SHARE * (now - self._at)), now
        return max(_LEAST_S, self._saved)

    def spend(self, seconds: float) -> None:
        """A wait was in vain for so long."""
        self._saved = max(0.0, self._saved - seconds)


class Replies:
    """Belongs to the thread that commits. A reply that is not acknowledged soon is replaced, and its place not waited
    for any more until it acknowledges again.

    Args:
        build: makes the producer, which has no transactions.
        answers: knows what to write in the transaction in the place of an answer that its topic has not taken.
    """

    def __init__(self, build: Callable[[], Producer], counts: PartitionCounts, answers: Answers) -> None:
        self._build = build
        self._counts = counts
        self._answers = answers
        self._made: Producer | None = None
        self._places: OrderedDict[tuple[str, int], _ReplyPartition] = OrderedDict()
        self._allowance = Allowance()

    def connect(self, own: Collection[str]) -> None:
        """Makes the connections that the first reply would wait for, and learns of our `own` topics; blocks."""
        self._counts.wait(own, _CONNECT_S)
        try:
            self._producer.list_topics(next(iter(own)), timeout=_CONNECT_S)
        except KafkaException as error:
            _log.warning("the producer of replies is not connected yet", error=error_of(error).str())

    def deliver(self, work: Work) -> Work:
        """The work with its replies acknowledged and taken out, or replaced. Blocks for half a second at most."""
        named = [one for one in work.outgoing if one.to_named]
        if not named:
            return work
        began, within_s = time.monotonic(), self._allowance.seconds
        self._counts.wait({one.topic for one in named}, within_s)
        replies = {id(one): self._send(one) for one in named}
        self._await([reply for reply in replies.values() if reply.failure is None], began + within_s)
        waited_s = time.monotonic() - began
        telemetry.WAITED.labels(named[0].origin.topic, "replies").inc(waited_s)
        late = [reply for reply in replies.values() if reply.failure is None]
        if late:
            self._allowance.spend(waited_s)
            for one in late:
                _give_up(one, waited_s)
        outgoing = [new for one in work.outgoing for new in self._settled(one, replies.get(id(one)))]
        return replace(work, outgoing=outgoing)

    @property
    def _producer(self) -> Producer:
        if self._made is None:
            self._made = self._build()
        return self._made

    def _settled(self, one: Outgoing, reply: _Reply | None) -> Sequence[Outgoing]:
        if reply is None:
            return [one]
        if not reply.failure:
            return []
        if reply.failure == _MISSING:
            return [self._answers.to_ours(one)]
        telemetry.FAILURES.labels(one.origin.topic, "reply").inc()
        return self._answers.unreplied(one, reply.failure)

    def _send(self, one: Outgoing) -> _Reply:
        """Puts the answer into the producer's queue, unless it has no chance."""
        count = self._counts(one.topic)
        partition = one.to_partition if count and one.to_partition < count else -1
        reply = _Reply(one, self._place(one.topic, partition))
        place = reply.place
        if not count:
            reply.failure = _MISSING if count == 0 else "Kafka has not said in time whether it exists"
        elif place.silent and place.waiting >= _PROBES:
            reply.failure = _SILENT
        else:
            silent = place.silent
            self._produce(reply, partition)
            if silent and reply.failure is None:  # sent to find out, but nobody waits for it
                reply = _Reply(one, place, _SILENT)
        return reply

    def _produce(self, reply: _Reply, partition: int) -> None:
        place, one = reply.place, reply.one

        def report(error: KafkaError | None, _message: object) -> None:
            place.waiting -= 1
            if error is None or error.code() > 0:  # Kafka's own word on this record; the client's are negative
                place.silent = False
            if reply.failure is None:
                reply.failure = error.name() if error is not None else ""

        place.waiting += 1
        try:
            self._producer.produce(
                one.topic,
                one.value,
                one.key,
                partition,
                on_delivery=report,
                headers=one.headers,  # type: ignore[arg-type]  # a list of narrower pairs will do: it is only read
            )
        except BufferError:
            place.waiting -= 1
            reply.failure = "too many answers wait to be acknowledged"
        except KafkaException as error:
            place.waiting -= 1
            reply.failure = error_of(error).name()

    def _await(self, replies: Sequence[_Reply], until: float) -> None:
        if self._made is not None:
            self._made.poll(0)  # takes the reports of what was given up earlier, too
        while any(reply.failure is None for reply in replies) and (left := until - time.monotonic()) > 0:
            self._producer.poll(min(left, 0.05))

    def _place(self, topic: str, partition: int) -> _ReplyPartition:
        place = self._places.setdefault((topic, partition), _ReplyPartition())
        self._places.move_to_end((topic, partition))
        if len(self._places) > _PLACES:
            self._places.popitem(last=False)
        return place


def _give_up(reply: _Reply, waited_s: float) -> None:
    reply.failure = f"it did not acknowledge within {waited_s * 1000:.0f} ms"
    if not reply.place.silent:
        reply.place.silent = True
        _log.warning("a reply topic does not acknowledge; it is not waited for until it does", topic=reply.one.topic)
