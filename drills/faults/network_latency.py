"""Latency and jitter on the way to the brokers and back."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.network import BROKER, LASTS, NETWORK_TARGETS, PROBE_S, UNDO, WAY, NetworkFault
from drills.params import Param
from standfast.core.network.toxics import Reach, Toxic, ToxicSeen


class NetworkLatency(NetworkFault):
    """Delays every piece by `delay_ms`, give or take up to `jitter_ms`, in each direction."""

    name = "network-latency"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """The delay; jitter is drawn by the drill's seed."""
        delay, jitter = (float(self.aim.params[name]) for name in ("delay_ms", "jitter_ms"))
        seed = self.aim.seed
        return Toxic(id=toxic_id, sort="latency", reaches=reaches, delay_ms=delay, jitter_ms=jitter, seed=seed)

    def shows(self, seen: ToxicSeen) -> str:
        """How long a question takes, if everybody's connections are disturbed; else that bytes of the worker wait."""
        if self.target.what == "worker":
            return super().shows(seen)
        least_s = max(0.0, float(self.aim.params["delay_ms"]) - float(self.aim.params["jitter_ms"])) / 1000
        name, took_s = self.probed(least_s + PROBE_S)
        return f"a question to {name} took {took_s * 1000:.0f} ms" if took_s is not None and took_s >= least_s else ""


NETWORK_LATENCY = Kind(
    "network-latency",
    "each piece of a stream to or from a broker is delayed",
    NetworkLatency,
    targets=NETWORK_TARGETS,
    undo=UNDO,
    params=(
        Param("delay_ms", 100.0, "delay of each piece, in each direction that is disturbed", 1, 60_000),
        Param("jitter_ms", 20.0, "the delay is up to so much shorter or longer", 0, 60_000),
        WAY,
        BROKER,
        LASTS,
    ),
    figure=None,
)
