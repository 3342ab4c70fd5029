"""Many requests with one key: all of them meet in one partition, and at one worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from confluent_kafka import Producer

from drills.faults.extra import extra_requests
from drills.faults.injector import Kind
from drills.faults.records import Records
from drills.params import Param
from drills.targets import PARTITION_TARGETS, partition_of
from standfast.core import clients
from standfast.core.errors import ClusterError

_ENDS_S = 15.0
_SHOWN = 20  # records by which the flood is seen


class HotKey(Records):
    """Sends `per_s` requests a second for `at_most_s`, each when it is due, however slowly they are answered."""

    name = "kafka-hot-key"
    _sending: threading.Thread | None = None

    def hit(self) -> tuple[tuple[int, ...], ...]:
        """The partition that the aim names, else that of the key."""
        if "partition" in self.aim.target:
            return super().hit()
        return ((partition_of(self._key, len(self.partitions())),),)

    def values(self) -> Iterator[bytes | None]:
        """The requests, as they are due, until they are to stop."""
        make, due = extra_requests(self.system.service, self.aim), time.monotonic()
        until = due + float(self.aim.params["at_most_s"])
        number = 0
        while not self._stop.wait(max(0.0, due - time.monotonic())) and due < until:
            yield make(number)
            number += 1
            due += 1 / float(self.aim.params["per_s"])

    def least(self) -> int:
        """So many show that it has begun."""
        return _SHOWN

    def strike(self) -> None:
        """Begins to send, in a thread that ends with this process."""
        self._stop = threading.Event()
        self._sending = threading.Thread(target=self._send, name=self.name, daemon=True)
        self._sending.start()

    def undo(self) -> None:
        """Stops sending, and waits until it has stopped; raises ClusterError if it has not within 15 s."""
        if self._sending is None:
            return
        self._stop.set()
        self._sending.join(_ENDS_S)
        if self._sending.is_alive():
            raise ClusterError(f"the requests with one key go on {_ENDS_S:.0f} s after they were to stop")

    @property
    def _key(self) -> str:
        return str(self.aim.target.get("key", f"hot-{self.aim.seed}"))

    def _send(self) -> None:
        producer = Producer(clients.requests(self.system.settings, "standfast-faults"))
        for number, value in enumerate(self.values()):
            self._write(producer, number, value, self._key.encode())
            producer.poll(0)
        producer.flush(_ENDS_S / 2)


HOT_KEY = Kind(
    "kafka-hot-key",
    "many requests with one key",
    HotKey,
    targets=PARTITION_TARGETS,
    undo="sending stops; the drill checks that each of these requests is answered",
    params=(
        Param("per_s", 300.0, "requests a second with that key", 1, 100_000),
        Param("at_most_s", 5.0, "it stops after so long", 0.1, 300),
    ),
    figure=None,
)
