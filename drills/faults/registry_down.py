"""The schema registry refuses connections, or accepts them and says nothing."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.network import LASTS, UNDO, NetworkFault
from drills.params import Param
from standfast.core.errors import DrillRejected
from standfast.core.network import probing, routes
from standfast.core.network.routes import REGISTRY, Route
from standfast.core.network.toxics import Reach, Toxic, ToxicSeen

_PROBE_S = 0.5


class RegistryDown(NetworkFault):
    """Nobody reaches the registry: what needs no new schema goes on, from what is kept on disk."""

    name = "registry-down"

    def toxic(self, toxic_id: str, reaches: tuple[Reach, ...]) -> Toxic:
        """Refused, or held back."""
        sort = "refuse" if self.aim.params["how"] == "refused" else "silence"
        return Toxic(id=toxic_id, sort=sort, reaches=reaches)  # type: ignore[arg-type]

    def routes(self) -> list[Route]:
        """The registry's; raises DrillRejected if it is not behind the proxy."""
        there = [route for route in routes.kept() if route.name == REGISTRY]
        if not there:
            raise DrillRejected(
                "no schema registry is behind the proxy: start the system with STANDFAST_DRILLS__NETWORK=true and "
                "SCHEMA_REGISTRY_URL=http://… (one that is spoken to by TLS cannot be put there)"
            )
        return there

    def shows(self, seen: ToxicSeen) -> str:
        """What a client sees that asks for the list of subjects."""
        (route,) = self.routes()
        if self.aim.params["how"] == "refused":
            return "" if probing.is_open(route.front, _PROBE_S) else "a connection is refused"
        hangs = probing.http_answer_s(route.front, "/subjects", _PROBE_S) is None
        return f"a question has no answer within {_PROBE_S:g} s" if hangs and seen else ""

    def unreached(self) -> list[str]:
        """The registry, unless it answers through the proxy."""
        return [r.name for r in self.routes() if probing.http_answer_s(r.front, "/subjects", _PROBE_S) is None]


REGISTRY_DOWN = Kind(
    "registry-down",
    "the schema registry refuses connections, or does not answer",
    RegistryDown,
    undo=UNDO,
    params=(
        Param("how", "refused", "refused: no connection; silent: no answer", choices=("refused", "silent")),
        LASTS,
    ),
    figure=None,
)
