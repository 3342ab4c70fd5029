"""Places in the consumer group, made before they are needed.

A static member's identity is fixed when its consumer is made, and a consumer made at the takeover must first find the
brokers, the coordinator and the topic: 20 ms to its partitions and 22 to the first record, against 4 and 9 for one that
waits connected (medians of 25 kills, two cores).
"""

from __future__ import annotations

import threading

import structlog
from confluent_kafka import Consumer, KafkaException

from consumers.service import Service
from standfast.core import clients
from standfast.core.settings import Settings

_log = structlog.get_logger()
_MOST = 8  # each costs about five sleeping threads
_CONNECT_S = 5.0
_REFRESH_S = 120.0  # brokers close what is idle for 10 minutes


class Seats:
    """Consumers of one standby, one for each identity it is likely to be given; none has joined the group yet.

    With more than eight identities each slot keeps another eight of them.
    """

    def __init__(self, service: Service, settings: Settings, slot: str) -> None:
        self._service = service
        self._settings = settings
        self._slot = slot
        self._taken = threading.Event()
        self._in_use = threading.Lock()  # a consumer closed by two threads, or while a third asks it, never returns
        number = int(slot.rpartition("-s")[2] or 0)
        likely = [(number * _MOST + step) % service.workers for step in range(min(_MOST, service.workers))]
        self._consumers = {(name := service.worker_id(one)): self._made(name) for one in likely}

    @property
    def identities(self) -> list[str]:
        """Those for which a consumer is ready."""
        return list(self._consumers)

    def connect(self) -> None:
        """Opens the connections and keeps them open until a seat is taken; blocks for the first time only."""
        self._refresh()
        threading.Thread(target=self._keep_connected, name="seats", daemon=True).start()

    def take(self, identity: str) -> Consumer:
        """The consumer for this identity, made now if there is none; `close` is to follow for the others."""
        self._taken.set()
        taken = self._consumers.pop(identity, None)
        return taken if taken is not None else self._made(identity)

    def close(self) -> None:
        """Closes those that were not taken; none of them is a member of the group."""
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
