"""From decisions and scores to the records that go out: answers in the encoding of their requests, and dead letters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from consumers.requests.admission import Admitted, DeadLetter, Origin, Refused
from consumers.service import Service
from schemas.codec import Codec, Encoding
from schemas.dead_letters import dead_letter_headers
from schemas.records import Item, Result
from schemas.topics import BY_NAME

_REPLY_TOPIC = "kafka_replyTopic"
_REPLY_PARTITION = "kafka_replyPartition"
_OUR_HEADERS = 6  # those that `dead_letter_headers` adds, behind any of the same names that came with the record
_NOT_KNOWN = 1 << 31  # whoever sends the answer finds out whether the topic has its partition
_TOPIC_NAME = re.compile(rb"[a-zA-Z0-9._-]{1,249}")


class Outgoing(Struct, frozen=True, gc=False):
    """One record to write, and the request it answers or blames.

    `to_partition` -1: by key. `to_named`: the topic is one that the request named, not ours.
    """

    origin: Origin
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    to_partition: int = -1
    to_named: bool = False

    @property
    def source(self) -> tuple[str, int]:
        """The request partition it comes from."""
        return self.origin.topic, self.origin.partition


class Answers:
    """Writes the answers of one worker, under the name `worker`.

    `partitions_of` gives a topic's number of partitions, 0 for one that does not exist, None while that is not known: a
    reply topic that a request names is used only if it is there and is not one of ours (an answer in a request topic
    would be answered for ever).
    """

    def __init__(
        self, service: Service, codec: Codec, worker: str, model: str, partitions_of: Callable[[str], int | None]
    ) -> None:
        self._service = service
        self._codec = codec
        self.worker = worker
        self._model = model
        self._partitions_of = partitions_of
        prefix = service.requests.removesuffix(f"{service.name}.requests")
        self._closed = {prefix + name for name in BY_NAME if not name.endswith(".results")} | {
            prefix + "drills.results"
        }

    def served(self, admitted: Admitted, found: list[Item]) -> Outgoing:
        """The answer to a computed request."""
        result = Result(
            request_id=admitted.request_id,
            status="ok",
            items=found,
            model=self._model,
            worker=self.worker,
            degraded=admitted.degraded,
            latency_ms=_latency(admitted.origin),
        )
        return self._outgoing(admitted.origin, admitted.encoding, result)

    def refused(self, refused: Refused) -> Outgoing:
        """The answer to a request that was not computed."""
        result = Result(
            request_id=refused.request_id,
            status=refused.status,
            model=self._model,
            worker=self.worker,
            latency_ms=_latency(refused.origin),
            error=refused.reason,
        )
        return self._outgoing(refused.origin, refused.encoding, result)

    def dead(self, letter: DeadLetter) -> Outgoing:
        """The dead letter: the original bytes, its headers, and why."""
        origin = letter.origin
        headers = dead_letter_headers(
            origin.headers,
            letter.reason,
            origin.topic,
            origin.partition,
            origin.offset,
            origin.timestamp_ms,
            self.worker,
        )
        if origin.oversize:
            headers.append(_size(origin))
        return Outgoing(origin, self._service.dead_letters, origin.key, origin.value, headers)

    def instead(self, unwritable: Outgoing, reason: str) -> Outgoing:
        """What to write where Kafka will never take a record, so that it does not hold up its partition for ever.

        An answer becomes a dead letter; of a dead letter that is too large its headers of ours are left.
        """
        origin = unwritable.origin
        if unwritable.topic == self._service.results_of(origin.topic):
            return self.dead(DeadLetter(origin, f"Kafka does not take its answer: {reason}", "unwritable"))
        size = _size(origin)
        ours = [header for header in unwritable.headers if header[0].startswith("error-") and header != size]
        return replace(unwritable, key=None, value=None, headers=[*ours[-_OUR_HEADERS:], size])

    def to_ours(self, named: Outgoing) -> Outgoing:
        """An answer to a topic that the request named, for the usual topic."""
        return replace(named, topic=self._service.results_of(named.origin.topic), to_partition=-1, to_named=False)

    def unreplied(self, named: Outgoing, reason: str) -> list[Outgoing]:
        """The same where the named topic has not taken it, and a dead letter that says so."""
        letter = DeadLetter(named.origin, f"the reply topic {named.topic} has not taken the answer: {reason}", "reply")
        return [self.to_ours(named), self.dead(letter)]

    def _outgoing(self, origin: Origin, encoding: Encoding, result: Result) -> Outgoing:
        topic, partition = self._reply_to(origin)
        key = origin.key if origin.key is not None else result.request_id.encode()
        value = self._codec.encode(result, encoding)
        named = topic != self._service.results_of(origin.topic)
        return Outgoing(origin, topic, key, value, origin.headers, partition, named)

    def _reply_to(self, origin: Origin) -> tuple[str, int]:
        """Where the answer goes: Spring Kafka's reply topic and partition where they can be used, else ours."""
        ours = self._service.results_of(origin.topic)
        named = origin.header(_REPLY_TOPIC) if origin.headers else None
        if not named or not _TOPIC_NAME.fullmatch(named):
            return ours, -1
        topic = named.decode()
        count = 0 if topic in self._closed else self._partitions_of(topic)
        if count == 0:
            return ours, -1
        if count is None and topic != ours:
            count = _NOT_KNOWN
        wanted = origin.header(_REPLY_PARTITION)
        partition = int.from_bytes(wanted, "big") if wanted and len(wanted) == 4 else -1
        return topic, partition if count and 0 <= partition < count else -1


def _size(origin: Origin) -> tuple[str, bytes]:
    """The header that stands for a value that is left out."""
    return "error-value-bytes", b"%d" % (origin.oversize or len(origin.value or b""))


def _latency(origin: Origin) -> float:
    return round(max(0.0, time.time() * 1000 - origin.timestamp_ms), 3)
