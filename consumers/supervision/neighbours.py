"""Watches for workers of other hosts that serve the same service, and ends what a dead host left open.

Its partitions come to the others by themselves, when its members' session runs out. But whoever gets them cannot read
their offsets while a transaction of the dead is open, which could be ten seconds; so it is fenced here, under the
transactional ids by which its workers were last seen in the group.
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
    """A thread that looks at one consumer group four times a second."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._admin = AdminClient(clients.base(settings, f"{service.name}-neighbours"))
        self._seen: Slots = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts looking."""
        threading.Thread(target=self._run, name="neighbours", daemon=True).start()

    def stop(self) -> None:
        """Ends with the look in hand."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            now = self._slots_by_host()
            if now is not None:
                for slots in gone(self._seen, now, self._settings.workers.host):
                    self._fence(slots)
                self._seen = now

    def _slots_by_host(self) -> Slots | None:
        """The slots of the group's members; None if Kafka does not say, which is no sign of anybody's death."""
        group = self._service.group
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=_ASK_S)[group].result(_ASK_S)
        except (KafkaException, TimeoutError) as error:
            _log.debug("the group cannot be looked at", group=group, error=str(error))
            return None
        return by_host([member.client_id for member in found.members], self._service.name)

    def _fence(self, slots: set[str]) -> None:
        _log.warning("another host is gone; its transactions are ended", slots=sorted(slots))
        for slot in slots:
            threading.Thread(target=self._fence_one, args=(slot,), daemon=True).start()

    def _fence_one(self, slot: str) -> None:
        fence = Fence(self._settings, transactional_id(self._service, slot))
        fence.connect()
        fence.fence()


def by_host(client_ids: list[str], service: str) -> Slots:
    """Slots (`search-b-s0`) by host (`b`), out of client ids as `clients.worker` makes them: identity@slot."""
    found: Slots = {}
    for client_id in client_ids:
        slot = client_id.partition("@")[2]
        host = slot.removeprefix(service).rpartition("-s")[0].removeprefix("-")
        if slot:
            found.setdefault(host, set()).add(slot)
    return found


def gone(before: Slots, now: Slots, own: str) -> list[set[str]]:
    """The slots of each host that had members and has none any more; one worker's death is its own host's affair."""
    return [slots for host, slots in before.items() if host not in now and host != own]
