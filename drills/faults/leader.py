"""SIGKILL of a broker that leads a partition of the request topic."""

from __future__ import annotations

from drills.faults.brokers import TIMEOUT_S, BrokerFault, admin
from drills.faults.controller import active_controller
from drills.faults.injector import Kind


class KillLeader(BrokerFault):
    """Kills a random leader, but the active controller only if no other broker leads a partition."""

    name = "broker"

    def victim(self) -> int:
        """The broker id of a leader."""
        topic = admin(self.system).list_topics(timeout=TIMEOUT_S).topics[self.system.service.requests]
        leaders: set[int] = {partition.leader for partition in topic.partitions.values()}
        return self.random.choice(sorted(leaders - {active_controller(self.system)} or leaders))


LEADER = Kind("broker", "SIGKILL of a partition's leader", KillLeader, figure="pause", brokers=3)
