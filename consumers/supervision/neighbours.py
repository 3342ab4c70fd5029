"""Watches the workers of other hosts that serve the same service, and ends the transactions that a dead host left open.

The group moves a dead host's partitions to other hosts when its members' sessions time out. But their new owners cannot
read the committed offsets while a transaction of the dead host is open, for up to ten seconds. So its workers are
fenced here, by the transactional ids of all slots that were seen in the group while the host had members.
"""

from __future__ import annotations

import threading

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from consumers.process.worker_process import transactional_id
from consumers.service import Service
from consumers.supervision.fencing import Fence
from standfast.core import clients
from standfast.core.settings import Settings

_log = structlog.get_logger()
_LOOK_S = 0.25
_ASK_S = 5.0

Slots = dict[str, set[str]]


class Neighbours:
    """A thread that describes one consumer group four times a second."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._admin = AdminClient(clients.base(settings, f"{service.name}-neighbours"))
        self._seen: Slots = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._run, name="neighbours", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread after its current look at the group; returns at once."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            now = self._slots_by_host()
            if now is not None:
                for slots in gone(self._seen, now, self._settings.workers.host):
                    self._fence(slots)
                self._seen = with_earlier(self._seen, now)

    def _slots_by_host(self) -> Slots | None:
        """The slots of the group's members; None if Kafka does not answer, which does not mean that a host is dead."""
        group = self._service.group
        try:
            described = self._admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group].result(_ASK_S)
        except (KafkaException, TimeoutError) as error:
            _log.debug("the group cannot be looked at", group=group, error=str(error))
            return None
        return by_host([member.client_id for member in described.members], self._service.name)

    def _fence(self, slots: set[str]) -> None:
        _log.warning("another host is gone; its transactions are ended", slots=sorted(slots))
        for slot in slots:
            threading.Thread(target=self._fence_one, args=(slot,), daemon=True).start()

    def _fence_one(self, slot: str) -> None:
        fence = Fence(self._settings, transactional_id(self._service, slot))
        fence.connect()
        fence.fence()


def by_host(client_ids: list[str], service: str) -> Slots:
    """Slots (`search-b-s0`) by host (`b`), from client ids as `clients.worker` makes them: identity@slot."""
    slots: Slots = {}
    for client_id in client_ids:
        slot = client_id.partition("@")[2]
        host = slot.removeprefix(service).rpartition("-s")[0].removeprefix("-")
        if slot:
            slots.setdefault(host, set()).add(slot)
    return slots


def with_earlier(before: Slots, now: Slots) -> Slots:
    """The slots of the hosts that have members now, with those that each had before.

    The sessions of a dead host's workers do not end together. In the quarter of a second between two looks one of two
    may have left, and only the other be there when the host is found gone. The first's transaction then stayed open,
    and its partitions unread for 12 to 17 s: in two of 22 kills. To fence a slot that was used earlier costs nothing.
    """
    return {host: slots | before.get(host, set()) for host, slots in now.items()}


def gone(before: Slots, now: Slots, own_host: str) -> list[set[str]]:
    """The slots of each other host that had members and has none any more.

    A host that lost only some of its members is not among them: it replaces those itself.
    """
    return [slots for host, slots in before.items() if host not in now and host != own_host]
