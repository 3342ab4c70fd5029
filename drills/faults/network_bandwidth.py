"""A slow network: so many kilobytes a second on each connection, in small pieces."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.network import BROKER, LASTS, NETWORK_TARGETS, UNDO, WAY, NetworkFault
from drills.params import Param
from standfast.core.network.toxics import Reach, Toxic


class NetworkBandwidth(NetworkFault):
    """Lets bytes through at a rate. A piece may end anywhere in a message, as it may in any TCP stream."""

    name = "network-bandwidth"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """The limit."""
        rate, piece = float(self.aim.params["kb_per_s"]) * 1000, int(self.aim.params["piece"])
        return Toxic(id=toxic_id, sort="bandwidth", reaches=reaches, bytes_per_s=rate, piece=piece)


NETWORK_BANDWIDTH = Kind(
    "network-bandwidth",
    "each connection with a broker gets so many kilobytes a second, in small pieces",
    NetworkBandwidth,
    targets=NETWORK_TARGETS,
    undo=UNDO,
    params=(
        Param("kb_per_s", 64.0, "kilobytes a second of each connection, in each direction that is disturbed", 0.1, 1e6),
        Param("piece", 200, "bytes that are passed on at once", 1, 65_536),
        WAY,
        BROKER,
        LASTS,
    ),
    figure=None,
)
