"""A network partition between clients and brokers, in both directions or in one."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.network import BROKER, LASTS, NETWORK_TARGETS, UNDO, WAY, NetworkFault
from standfast.core.network.toxics import Reach, Toxic, ToxicSeen

_SILENT_S = 0.5


class NetworkPartition(NetworkFault):
    """Holds every byte back until the partition ends, as TCP does, which sends again what was not acknowledged.

    Connections stay open meanwhile and nobody is told anything. That is the hard case: a connection that breaks is
    noticed at once.
    """

    name = "network-partition"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """The silence."""
        return Toxic(id=toxic_id, sort="silence", reaches=reaches)

    def shows(self, seen: ToxicSeen) -> str:
        """That a question has no answer, if everybody is cut off; else that bytes of the worker wait."""
        if self.target.what == "worker":
            return super().shows(seen)
        name, took_s = self.probed(_SILENT_S)
        return f"{name} does not answer within {_SILENT_S:g} s" if took_s is None else ""


NETWORK_PARTITION = Kind(
    "network-partition",
    "nothing gets through between clients and brokers, in one direction or in both",
    NetworkPartition,
    targets=NETWORK_TARGETS,
    undo=UNDO,
    params=(WAY, BROKER, LASTS),
    figure=None,
)
