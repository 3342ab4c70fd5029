"""All drills: each fault in `drills/faults/` may declare one."""

from __future__ import annotations

from drills.drill import Drill, nearest
from drills.faults import FAULTS
from standfast.core.errors import DrillRejected


def catalogue() -> dict[str, Drill]:
    """The drills by name."""
    return {kind.drill.name: kind.drill for kind in FAULTS.values() if kind.drill is not None}


def find(name: str) -> Drill:
    """The drill of that name; raises DrillRejected, naming the nearest one or all."""
    known = catalogue()
    if name not in known:
        raise DrillRejected(f"there is no drill {name[:100]!r}{nearest(name, list(known))}")
    return known[name]
