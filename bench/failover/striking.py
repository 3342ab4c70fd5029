"""One fault of a benchmark, from choosing whom it strikes until the system is whole again."""

from __future__ import annotations

import time
from contextlib import closing

from bench.failover.full_strength import FullStrength
from drills.evidence.load import Load
from drills.faults.injector import Injector, Kind
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, DrillRejected, UsageError

_SHOWN_WITHIN_S = 10.0
_POLL_S = 0.01


def strike(at: RunningSystem, kind: Kind, load: Load, whole: FullStrength, seed: int) -> float | None:
    """Makes the fault, notes it in the load's history, undoes it, and returns when the system is whole again.

    What it returns is from when its figure runs (monotonic), None for the fault's start. Whom it strikes the seed says.

    Raises:
        UsageError: the system is not one that this fault can be made on.
        ClusterError: the fault did not strike, or the system did not come back to full strength.
    """
    with closing(kind.make(at, kind.aim(seed=seed))) as injector:
        try:
            target = injector.choose()
        except DrillRejected as reason:
            raise UsageError(str(reason)) from None
        load.struck(injector.inject())
        try:
            _show(injector)
            while not injector.lasted():
                time.sleep(_POLL_S)
        finally:
            injector.undo()
        since = at.place.model_loaded() if kind.figure == "answer from load" and at.place is not None else None
        load.healed(whole.await_again(target.gone))
        return since


def _show(injector: Injector) -> None:
    evidence = injector.injected(_SHOWN_WITHIN_S)
    if evidence.check == "failed":
        raise ClusterError(f"the fault did not strike, so nothing is measured: {evidence.text}")
