"""Seats in the consumer group: connected consumers for the identities that a standby may take over.

A static member's identity (`group.instance.id`) is fixed when its consumer is made, and a consumer that is made at the
takeover must first find the brokers, the coordinator and the topic: it had its partitions after 20 ms and the first
record after 22, against 4 and 9 for one that was connected already (medians of 25 kills, two cores).
"""

from __future__ import annotations

import threading

import structlog
from confluent_kafka import Consumer, KafkaException

from consumers.service import Service
from standfast.core import clients
from standfast.core.settings import Settings

_log = structlog.get_logger()
_MOST = 8  # consumers of one standby; each has about five sleeping threads
_CONNECT_S = 5.0
_REFRESH_S = 120.0  # brokers close connections that are idle for 10 minutes (connections.max.idle.ms)


class Seats:
    """The consumers of one standby, one for each of up to eight identities; none has joined the group yet.

    With more than eight identities, standbys in other slots have consumers for others of them.
    """

    def __init__(self, service: Service, settings: Settings, slot: str) -> None:
        self._service = service
        self._settings = settings
        self._slot = slot
        self._taken = threading.Event()
        self._in_use = threading.Lock()  # closing a consumer in two threads, or while a third uses it, never returns
        number = int(slot.rpartition("-s")[2] or 0)
        likely = [(number * _MOST + step) % service.workers for step in range(min(_MOST, service.workers))]
        self._consumers = {(identity := service.worker_id(worker)): self._made(identity) for worker in likely}

    @property
    def identities(self) -> list[str]:
        """The identities for which a consumer is ready."""
        return list(self._consumers)

    def connect(self) -> None:
        """Opens the connections, which blocks, and keeps them open in a thread until a consumer is taken."""
        self._refresh()
        threading.Thread(target=self._keep_connected, name="seats", daemon=True).start()

    def take(self, identity: str) -> Consumer:
        """The consumer for this identity, made now if there is none; call `close` for the others afterwards."""
        self._taken.set()
        taken = self._consumers.pop(identity, None)
        return taken if taken is not None else self._made(identity)

    def close(self) -> None:
        """Closes the consumers that were not taken; none of them is a member of the group."""
        self._taken.set()
        with self._in_use:
            while self._consumers:
                self._consumers.popitem()[1].close()

    def _made(self, identity: str) -> Consumer:
        return Consumer(clients.worker(self._settings, self._service.group, identity, self._slot))

    def _keep_connected(self) -> None:
        while not self._taken.wait(_REFRESH_S):
            self._refresh()

    def _refresh(self) -> None:
        for identity, consumer in list(self._consumers.items()):
            with self._in_use:
                if self._taken.is_set():
                    return
                try:
                    consumer.list_topics(self._service.requests, timeout=_CONNECT_S)
                except KafkaException as error:
                    _log.warning("a standby's consumer is not connected", identity=identity, error=str(error))
