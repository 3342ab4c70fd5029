"""Finds partitions that a cooperative rebalance has left without an owner, and makes the group assign them again.

In a cooperative rebalance a moving partition is first revoked from its old owner, and assigned to its new owner when
the old one joins again. If the old owner is killed in between, its successor takes its static membership without a
rebalance: it gets the partitions that the dead worker was to keep, and knows of none to give up. So no member joins
again, and nobody reads the moving partition until the group changes. Any new member makes it change.
"""

from __future__ import annotations

import threading
import time

import structlog
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from consumers.service import Service
from standfast.core import clients
from standfast.core.membership import leave
from standfast.core.settings import Settings

_log = structlog.get_logger()
# The first look comes this long after a takeover, which needs the processor; that at the group of bulk requests later,
# because the successor joins it only after a second.
_SETTLED_S, _BULK_SETTLED_S = 0.5, 2.0
_LOOK_S = 1.0  # between two looks at a group
_LOOKS = 20  # at most, after one takeover
_ASK_S = 5.0
_REBALANCE_S = 10.0  # the longest wait for the rebalance of a group that was joined for it
_LEAVE_S = 5.0


class Orphans:
    """Looks at one service's two groups soon after each takeover, in a thread of its own."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"orphans-{service.name}", daemon=True)

    def look_later(self) -> None:
        """Has the thread look at both groups, after 0.5 s and 2 s more; returns at once."""
        self._wanted.set()
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            for wait_s, topic in (
                (_SETTLED_S, self._service.requests),
                (_BULK_SETTLED_S, self._service.bulk_requests),
            ):
                time.sleep(wait_s)
                try:
                    self._look(topic)
                except KafkaException as error:  # no client could be made; the thread goes on for the next takeover
                    _log.warning("whether partitions are left over cannot be seen", topic=topic, error=str(error))

    def _look(self, topic: str) -> None:
        """Looks at the group until all partitions have an owner; has those assigned again that stay without one.

        Partitions that have no owner in two looks in a row are orphans, and not merely moving.
        """
        group, before = self._service.group_of(topic), set[int]()
        admin = AdminClient(clients.base(self._settings, f"{group}.orphans"))
        for _ in range(_LOOKS):
            ownerless = orphans(admin, group, topic)
            if ownerless is not None and not ownerless:
                return
            if ownerless and ownerless == before:
                _log.warning(
                    "partitions that nobody has are handed out again", group=group, partitions=sorted(ownerless)
                )
                self._rebalance(group)
            before = ownerless or set()
            time.sleep(_LOOK_S)

    def _rebalance(self, group: str) -> None:
        """Joins the group, subscribed to another topic, and leaves it: its leader assigns the orphans meanwhile."""
        config = clients.consumer(self._settings, f"{group}.orphans", group)
        consumer = Consumer({**config, "session.timeout.ms": self._settings.workers.session_timeout_ms})
        assigned = threading.Event()
        consumer.subscribe([self._service.dead_letters], on_assign=lambda *_: assigned.set())
        deadline = time.monotonic() + _REBALANCE_S
        while not assigned.is_set() and time.monotonic() < deadline:
            consumer.poll(0.1)
        if leave(consumer, _LEAVE_S):
            consumer.close()


def orphans(admin: AdminClient, group: str, topic: str) -> set[int] | None:
    """The partitions without an owner; None if unknown: the group is rebalancing, or Kafka does not answer."""
    try:
        partitions = set(admin.list_topics(topic, timeout=_ASK_S).topics[topic].partitions)
        described = admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group].result(_ASK_S)
    except (KafkaException, TimeoutError) as error:
        _log.debug("a group cannot be looked at", group=group, error=str(error))
        return None
    if described.state is not ConsumerGroupState.STABLE:
        return None
    owned = {
        partition.partition
        for member in described.members
        for partition in member.assignment.topic_partitions
        if partition.topic == topic
    }
    return partitions - owned
