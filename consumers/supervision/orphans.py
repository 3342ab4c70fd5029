"""Finds partitions that a consumer group believes to be on their way, and that nobody will ever come for.

In a cooperative rebalance a partition that changes hands is first taken from its old owner, and is given to the new one
when the old one joins again. A worker killed in between is replaced under its static membership without a rebalance:
its successor gets what was left to the dead one and knows nothing of what it was to give up, so nobody joins again, and
the partition stands still for as long as the group does not change. Any new member makes it change.
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
# Not while the takeover needs the processor; and the successor joins the group of bulk requests a second later.
_SETTLED_S, _BULK_SETTLED_S = 0.5, 2.0
_LOOK_S = 1.0
_LOOKS = 20
_ASK_S = 5.0
_SHAKE_S = 10.0
_LEAVE_S = 5.0


class Orphans:
    """Looks after one service's two groups: soon after each takeover, in a thread of its own."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"orphans-{service.name}", daemon=True)

    def look_later(self) -> None:
        """Has both groups looked at in a while; returns at once."""
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
                except KafkaException as error:  # no client could be made; this thread is to look after the next too
                    _log.warning("whether partitions are left over cannot be seen", topic=topic, error=str(error))

    def _look(self, topic: str) -> None:
        """Until all partitions have an owner. Those without one at two looks in a row are not merely on their way."""
        group, before = self._service.group_of(topic), set[int]()
        admin = AdminClient(clients.base(self._settings, f"{group}.orphans"))
        for _ in range(_LOOKS):
            found = orphans(admin, group, topic)
            if found is not None and not found:
                return
            if found and found == before:
                _log.warning("partitions that nobody has are handed out again", group=group, partitions=sorted(found))
                self._shake(group)
            before = found or set()
            time.sleep(_LOOK_S)

    def _shake(self, group: str) -> None:
        """Joins the group, with interest in another topic, and leaves it: its leader hands out what nobody has."""
        mine = clients.consumer(self._settings, f"{group}.orphans", group)
        passer = Consumer({**mine, "session.timeout.ms": self._settings.workers.session_timeout_ms})
        settled = threading.Event()
        passer.subscribe([self._service.dead_letters], on_assign=lambda *_: settled.set())
        deadline = time.monotonic() + _SHAKE_S
        while not settled.is_set() and time.monotonic() < deadline:
            passer.poll(0.1)
        if leave(passer, _LEAVE_S):
            passer.close()


def orphans(admin: AdminClient, group: str, topic: str) -> set[int] | None:
    """The partitions without an owner; None where that cannot be said: partitions move, or Kafka does not answer."""
    try:
        all_ = set(admin.list_topics(topic, timeout=_ASK_S).topics[topic].partitions)
        found = admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group].result(_ASK_S)
    except (KafkaException, TimeoutError) as error:
        _log.debug("a group cannot be looked at", group=group, error=str(error))
        return None
    if found.state is not ConsumerGroupState.STABLE:
        return None
    owned = {
        partition.partition
        for member in found.members
        for partition in member.assignment.topic_partitions
        if partition.topic == topic
    }
    return all_ - owned
