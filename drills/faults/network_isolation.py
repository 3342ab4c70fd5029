"""One broker cut off from the other brokers, while clients still reach it."""

from __future__ import annotations

from drills.faults.injector import Kind, Target
from drills.faults.network import DIRECTIONS, LASTS, UNDO, WAY, NetworkFault, kafka_routes
from drills.params import Param
from standfast.core.errors import DrillRejected
from standfast.core.network.routes import Route
from standfast.core.network.toxics import Direction, Reach, Toxic

_MIRRORED: dict[Direction, Direction] = {"both": "both", "to_server": "to_client", "to_client": "to_server"}
"""What a broker hears on connections that it opened itself comes the other way."""


class NetworkIsolation(NetworkFault):
    """A partition between a broker and its peers: as a follower, as a leader and in the controllers' quorum."""

    name = "network-isolation"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """The silence."""
        return Toxic(id=toxic_id, sort="silence", reaches=reaches)

    def routes(self) -> list[Route]:
        """The clients' routes; raises DrillRejected if the broker has no peers."""
        if len(kafka_routes()) < 2:
            raise DrillRejected("there is one broker, which has no peers; start three: standfast up --brokers 3")
        return super().routes()

    def reaches(self, target: Target) -> tuple[Reach, ...]:  # noqa: ARG002
        """The others' connections to it, and its own to the others."""
        pids = {row.id: row.pid for row in self.system.status().roles if row.id.startswith("kafka-")}
        ours = f"kafka-{self.aim.params['broker']}"
        heard = DIRECTIONS[str(self.aim.params["way"])]
        others = tuple(pid for name, pid in pids.items() if name != ours)
        sides = ("peers", "controller")
        to_it = [Reach(f"{ours}-{side}", others, heard) for side in sides]
        from_it = [
            Reach(f"{name}-{side}", (pids[ours],), _MIRRORED[heard]) for name in pids for side in sides if name != ours
        ]
        return (*to_it, *from_it)


NETWORK_ISOLATION = Kind(
    "network-isolation",
    "nothing gets through between one broker and the others, in one direction or in both; clients still reach it",
    NetworkIsolation,
    undo=UNDO,
    params=(
        Param("broker", 1, "the broker that is cut off", 1, 1000),
        Param(
            "way",
            "both",
            "what is lost: what others say to it (requests), what it says to others (answers), or both",
            choices=WAY.choices,
        ),
        LASTS,
    ),
    figure=None,
)
