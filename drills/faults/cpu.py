"""Busy processes beside the system: they take its processors."""

from __future__ import annotations

import secrets
import time

from drills.evidence.history import Fault
from drills.evidence.verdict import Finding
from drills.faults.injector import Aim, Kind, Target
from drills.faults.marked_children import MarkedChildren
from drills.faults.running_system import RunningSystem
from drills.params import Param

_BURNS = "import time\nuntil = time.monotonic() + float(sys.argv[3])\nwhile time.monotonic() < until: pass\n"
_LOOK_S = 0.3
_LEAST_CORES = 0.02  # that all burners use together: less than that takes nothing from anybody


class CpuBurn:
    """Burns the processors of the machine; every partition of the service counts as hit."""

    name = "cpu"

    def __init__(self, system: RunningSystem, aim: Aim) -> None:
        self._system = system
        self._aim = aim
        self._target = Target("machine", (), ())
        self._burners = MarkedChildren(f"standfast-burns-{secrets.token_hex(8)}")

    def choose(self) -> Target:
        """The partitions, and the mark by which the burners are found again."""
        hit = tuple(tuple(sorted(self._system.partitions(worker))) for worker in self._system.workers())
        self._target = Target("machine", (), hit, before={"mark": self._burners.mark})
        return self._target

    def inject(self) -> Fault:
        """Starts the burners."""
        params, at = self._aim.params, time.monotonic()
        arguments = [str(int(params["nice"])), f"{float(params['at_most_s']):g}"]
        for _ in range(int(params["processes"])):
            self._burners.start(f"os.nice(int(sys.argv[2]))\n{_BURNS}", arguments)
        return self._target.struck(self.name, at)

    def injected(self, within_s: float) -> Finding:
        """Whether the burners use processor time, as the kernel counts it."""
        deadline = time.monotonic() + within_s
        while True:
            before, began = self._burners.processor_s(), time.monotonic()
            time.sleep(min(_LOOK_S, within_s))
            cores = (self._burners.processor_s() - before) / (time.monotonic() - began)
            count = len(self._burners.pids())
            if count == int(self._aim.params["processes"]) and cores >= _LEAST_CORES:
                return Finding("passed", f"{count} processes burn {cores:.2f} cores")
            if time.monotonic() > deadline:
                return Finding("failed", f"{count} processes burn {cores:.2f} cores")

    def lasted(self) -> bool:
        """Always True: the drill says how long it burns."""
        return True

    def undo(self) -> None:
        """Kills the burners."""
        self._burners.end()

    def undone(self) -> Finding:
        """Whether no burner runs."""
        if running := self._burners.pids():
            return Finding("failed", f"{len(running)} busy processes still run: {running}")
        return Finding("passed", "no busy process of the drill runs")

    def resume(self, target: Target) -> Finding:
        """`passed` if a burner runs; `unknown` if not: burners end with the process that started them."""
        self._target = target
        self._burners = MarkedChildren(str(target.before["mark"]))
        if running := self._burners.pids():
            return Finding("passed", f"{len(running)} busy processes run")
        return Finding("unknown", "no busy process of the drill runs now; whether one did nobody saw")

    def close(self) -> None:
        """Ends what is left."""
        self._burners.end()


CPU = Kind(
    "cpu",
    "busy processes take the processors",
    CpuBurn,
    undo="the busy processes are killed; they end with the process that started them, and after at_most_s",
    params=(
        Param("processes", 2, "how many", 1, 256),
        Param("nice", 0, "19 leaves the system all it asks for, 0 an equal share", 0, 19),
        Param("at_most_s", 120.0, "they end by themselves after so long", 1, 3600),
    ),
)
