"""Requests deleted from Kafka before they were read, as its retention does where nobody reads for too long.

They are lost for good, so only requests of the drill's own load are deleted: everything up to the first request of
somebody else, exactly as it was read, and nothing that came later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import cast

import httpx
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, DeletedRecords
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from drills.evidence.history import Deleted, Fault
from drills.evidence.offsets import bounds
from drills.evidence.verdict import Finding
from drills.faults.asking import asked
from drills.faults.injector import Kind
from drills.faults.lag import LAG, Lag
from drills.params import Param
from schemas.records import Scalar
from standfast.core import clients
from standfast.core.consumed import Consumed
from standfast.core.errors import ClusterError, DrillRejected

_WAITS_S = 4.0  # for enough requests to wait unread; an injection has 15 s, of which the stranger may take 10
_AGAIN_S = 0.2
_READ_S = 5.0
_COUNT = "standfast_records_deleted_unread"
_SCRAPE_S = 2.0


class RecordsGone(Lag):
    """A stranger holds partitions, so that requests wait there; those of one partition are then deleted."""

    name = "kafka-records-gone"
    _deleted: Deleted | None = None

    def before(self) -> Mapping[str, Scalar]:
        """How many deleted offsets the system has counted by now; -1 where it shows no metrics."""
        return {"counted": self._counted()}

    def inject(self) -> Fault:
        """Waits until enough requests of the drill wait unread, and deletes them; raises DrillRejected if none do."""
        lagging = super().inject()
        deadline = time.monotonic() + _WAITS_S
        while self._deleted is None and time.monotonic() < deadline:
            for partition in sorted(lagging.partitions):
                if self._deleted is None:
                    self._deleted = self._delete_from(partition)
            time.sleep(_AGAIN_S)
        if self._deleted is None:
            self.undo()
            raise DrillRejected(
                f"fewer than {self._least} requests of the drill alone waited in each of the partitions "
                f"{sorted(lagging.partitions)} within {_WAITS_S:.0f} s: raise the rate, or wait until fewer others ask"
            )
        return structs.replace(lagging, deleted=(self._deleted,))

    def injected(self, within_s: float) -> Finding:
        """Whether the partition's log start offset is behind the deleted requests."""
        del within_s
        gone = self._deleted
        if gone is None:
            return Finding("failed", "this agent has deleted nothing")
        consumer = self._consumer()
        try:
            low, _ = bounds(consumer, self.topic, gone.partition)
        finally:
            consumer.close()
        text = f"partition {gone.partition} of {self.topic} begins at {low}; {gone.count} requests were deleted unread"
        return Finding("passed" if low >= gone.until else "failed", text)

    def undone(self) -> Finding:
        """Whether the stranger has left, and the system has counted what was deleted."""
        left = super().undone()
        before, now = int(str(self.target.before["counted"])), self._counted()
        if left.check != "passed" or self._deleted is None:
            return left
        if min(before, now) < 0:
            return Finding("unknown", f"{left.text}; how many were deleted unread no metric of this host says")
        told = f"of {self._deleted.count} deleted requests the system has reported {now - before}"
        return Finding("passed" if now - before >= self._deleted.count else "failed", f"{left.text}; {told}")

    @property
    def _least(self) -> int:
        return int(self.aim.params["least"])

    def _consumer(self) -> Consumer:
        config = clients.consumer(self.system.settings, "standfast-faults", self.system.service.group)
        return Consumer({**config, "enable.partition.eof": True})

    def _delete_from(self, partition: int) -> Deleted | None:
        """Deletes the drill's requests that wait at the head of the partition; None if they are too few."""
        found = self._waiting(partition)
        if found is None or found.count < self._least:
            return None
        place = TopicPartition(self.topic, partition, found.until)

        def ask(client: AdminClient, within_s: float) -> Future[DeletedRecords]:
            return client.delete_records([place], request_timeout=within_s)[place]

        asked(self.system, ask)
        return found

    def _waiting(self, partition: int) -> Deleted | None:
        """The drill's requests from the group's committed offset up to the first one of somebody else."""
        consumer, place = self._consumer(), TopicPartition(self.topic, partition)
        try:
            (committed,) = consumer.committed([place], _READ_S)
            consumer.assign([TopicPartition(self.topic, partition, max(0, committed.offset))])
            return self._drills_own(consumer, partition)
        except KafkaException as error:
            raise ClusterError(f"what waits in partition {partition} of {self.topic} is not known: {error}") from None
        finally:
            consumer.close()

    def _drills_own(self, consumer: Consumer, partition: int) -> Deleted | None:
        ours, deadline = f"{self.aim.drill_id}-".encode(), time.monotonic() + _READ_S
        first = last = -1
        count = 0
        while time.monotonic() < deadline:
            message = cast("Consumed | None", consumer.poll(0.1))
            if message is None:
                continue
            if message.error() is not None or not (message.key() or b"").startswith(ours):
                break
            first, last, count = message.offset() if first < 0 else first, message.offset(), count + 1
        return Deleted(partition, first, last + 1, count) if count else None

    def _counted(self) -> int:
        """The deleted offsets of the request topic that this host's roles have counted; -1 if that is not known."""
        url = self.system.status().metrics_url
        try:
            text = httpx.get(url, timeout=_SCRAPE_S, trust_env=False).text if url else ""
        except httpx.HTTPError:
            return -1
        families = [family for family in text_string_to_metric_families(text) if family.name == _COUNT]
        samples = [sample for family in families for sample in family.samples if sample.name == f"{_COUNT}_total"]
        counted = sum(sample.value for sample in samples if sample.labels.get("topic") == self.topic)
        return int(counted) if text else -1


RECORDS_GONE = Kind(
    "kafka-records-gone",
    "requests of the drill are deleted from Kafka before they were read",
    RecordsGone,
    targets=LAG.targets,
    undo="none: what is deleted stays lost, and is none but the drill's own; the stranger that kept it unread leaves, "
    "and the drill checks that the system has counted what is gone",
    params=(
        Param("least", 10, "so many requests at least are deleted", 1, 10_000),
        *LAG.params,
    ),
    figure=None,
)
