"""One fault of a benchmark, from the choice of its target until the system is at full strength again."""

from __future__ import annotations

import time
from contextlib import closing

from bench.failover.full_strength import FullStrength
from drills.evidence.load import Load
from drills.faults.injector import Injector, Kind
from drills.faults.running_system import RunningSystem
from standfast.core.errors import ClusterError, DrillRejected, UsageError

_SHOWN_WITHIN_S = 10.0  # for the fault to take effect
_POLL_S = 0.01


def strike(system: RunningSystem, kind: Kind, load: Load, full_strength: FullStrength, seed: int) -> float | None:
    """Injects the fault, records it in the load's history, undoes it and waits for full strength.

    Returns when (monotonic) the fault's figure starts, None for the fault's own start. The seed chooses the target.

    Raises:
        UsageError: the fault cannot be injected into this system.
        ClusterError: the fault took no effect, or the system did not come back to full strength.
    """
    with closing(kind.make(system, kind.aim(seed=seed))) as injector:
        try:
            target = injector.choose()
        except DrillRejected as reason:
            raise UsageError(str(reason)) from None
        fault = injector.inject()
        load.struck(fault)
        try:
            _check_effect(injector)
            while not injector.lasted():
                time.sleep(_POLL_S)
        finally:
            injector.undo()
        figure_start = (
            system.control.model_loaded() if kind.figure == "answer from load" and system.control is not None else None
        )
        load.healed(fault, full_strength.wait(target.gone))
        return figure_start


def _check_effect(injector: Injector) -> None:
    effect = injector.injected(_SHOWN_WITHIN_S)
    if effect.check == "failed":
        raise ClusterError(f"the fault did not strike, so nothing is measured: {effect.text}")
