"""Connections that are reset (RST) again and again."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.network import BROKER, LASTS, NETWORK_TARGETS, UNDO, NetworkFault
from drills.params import Param
from standfast.core.network.toxics import Reach, Toxic, ToxicSeen


class NetworkReset(NetworkFault):
    """Resets every connection that is older than `live_ms`, old and new ones, at both of its ends."""

    name = "network-reset"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """The resets."""
        return Toxic(id=toxic_id, sort="reset", reaches=reaches, live_ms=float(self.aim.params["live_ms"]))

    def shows(self, seen: ToxicSeen) -> str:
        """Some were reset."""
        return f"{seen.resets} were reset so far" if seen.resets else ""


NETWORK_RESET = Kind(
    "network-reset",
    "connections with brokers are reset as soon as they are some time old",
    NetworkReset,
    targets=NETWORK_TARGETS,
    undo=UNDO,
    params=(Param("live_ms", 500.0, "so old a connection may become", 0, 60_000), BROKER, LASTS),
    figure=None,
)
