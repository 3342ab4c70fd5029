"""SIGKILL of a broker that leads a partition of the request topic."""

from __future__ import annotations

from drills.faults.brokers import TIMEOUT_S, OnBroker, admin
from drills.faults.controller import active_controller
from drills.faults.injector import Kind


class KillLeader(OnBroker):
    """Kills any leader; the active controller only where no other broker leads a partition."""

    name = "broker"

    def victim(self) -> int:
        """Its id."""
        topic = admin(self.scene).list_topics(timeout=TIMEOUT_S).topics[self.scene.service.requests]
        leaders: set[int] = {partition.leader for partition in topic.partitions.values()}
        return self.random.choice(sorted(leaders - {active_controller(self.scene)} or leaders))


LEADER = Kind("broker", "SIGKILL of a partition's leader", KillLeader, figure="pause", brokers=3)
