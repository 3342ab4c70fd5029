"""From decisions and scores to the records to produce: answers in the encoding of their requests, and dead letters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from msgspec import UNSET, Struct
from msgspec.structs import replace

from consumers.requests.admission import Admitted, DeadLetter, Origin, Refused
from consumers.service import Service
from models.base import Faceted
from schemas.codec import Codec, Encoding
from schemas.dead_letters import dead_letter_headers
from schemas.records import Item, Result
from schemas.topics import BY_NAME

_REPLY_TOPIC = "kafka_replyTopic"
_REPLY_PARTITION = "kafka_replyPartition"
_OUR_HEADERS = 6  # added by `dead_letter_headers`, behind headers of the same names that came with the record
_NOT_KNOWN = 1 << 31  # stands for an unknown number of partitions; `replies`, which sends the answer, looks it up
_TOPIC_NAME = re.compile(rb"[a-zA-Z0-9._-]{1,249}")


class Outgoing(Struct, frozen=True, gc=False):
    """One record to produce, and the request that it answers or dead-letters.

    `to_partition` -1: by key. `to_named`: the topic is a reply topic that the request named, not one of ours.
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
        """The partition of the request."""
        return self.origin.topic, self.origin.partition


class Answers:
    """Makes the answers and dead letters of one worker, under the name `worker`.

    A reply topic that a request names is used only if it exists and is not one of ours, except `<service>.results`: an
    answer in a request topic would be answered in turn, for ever.

    Args:
        partitions_of: a topic's number of partitions; 0: it does not exist; None: not known yet.
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

    def served(self, admitted: Admitted, items: list[Item], model: str = "") -> Outgoing:
        """The answer to a computed request; `model`: which has computed it, if not the one that serves."""
        facets = items.facets if isinstance(items, Faceted) else UNSET
        result = Result(
            request_id=admitted.request_id,
            status="ok",
            items=items if facets is UNSET else list(items),
            model=model or self._model,
            worker=self.worker,
            degraded=admitted.degraded,
            latency_ms=_latency(admitted.origin),
            facets=facets,
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
        """The dead letter: the record's own key, value and headers, and headers with the reason."""
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

    def replacement(self, unwritable: Outgoing, reason: str) -> Outgoing:
        """The record to produce in the place of one that Kafka will never accept, which would block its partition.

        An answer is replaced by a dead letter; a dead letter by our own headers of it, without key and value.
        """
        origin = unwritable.origin
        if unwritable.topic == self._service.results_of(origin.topic):
            return self.dead(DeadLetter(origin, f"Kafka does not take its answer: {reason}", "unwritable"))
        size = _size(origin)
        ours = [header for header in unwritable.headers if header[0].startswith("error-") and header != size]
        return replace(unwritable, key=None, value=None, headers=[*ours[-_OUR_HEADERS:], size])

    def to_ours(self, named: Outgoing) -> Outgoing:
        """The answer, redirected from the topic that its request named to the service's result topic."""
        return replace(named, topic=self._service.results_of(named.origin.topic), to_partition=-1, to_named=False)

    def unreplied(self, named: Outgoing, reason: str) -> list[Outgoing]:
        """The answer for the result topic, and a dead letter with the reason why the named topic did not get it."""
        letter = DeadLetter(named.origin, f"the reply topic {named.topic} has not taken the answer: {reason}", "reply")
        return [self.to_ours(named), self.dead(letter)]

    def _outgoing(self, origin: Origin, encoding: Encoding, result: Result) -> Outgoing:
        topic, partition = self._reply_to(origin)
        key = origin.key if origin.key is not None else result.request_id.encode()
        value = self._codec.encode(result, encoding)
        named = topic != self._service.results_of(origin.topic)
        return Outgoing(origin, topic, key, value, origin.headers, partition, named)

    def _reply_to(self, origin: Origin) -> tuple[str, int]:
        """Topic and partition of the answer: those in Spring Kafka's headers if they can be used, else our own."""
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
        named_partition = origin.header(_REPLY_PARTITION)
        partition = int.from_bytes(named_partition, "big") if named_partition and len(named_partition) == 4 else -1
        return topic, partition if count and 0 <= partition < count else -1


def _size(origin: Origin) -> tuple[str, bytes]:
    """The header with the size of a value that is left out."""
    return "error-value-bytes", b"%d" % (origin.oversize or len(origin.value or b""))


def _latency(origin: Origin) -> float:
    return round(max(0.0, time.time() * 1000 - origin.timestamp_ms), 3)
