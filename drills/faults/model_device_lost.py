"""A worker's CUDA device fails until the process ends: the process has to end, and another one answers."""

from __future__ import annotations

from drills.faults.injector import Kind, Process
from drills.faults.model_fault import AT_MOST, UNDO, ModelFault
from drills.faults.workers import TARGETS, WorkerFault


class ModelDeviceLost(ModelFault):
    """Every batch raises what torch raises for a lost device; also on a machine without one."""

    name = "model-device-lost"
    kind = "device_lost"
    done = "lost its device"

    def may_serve(self, victim: Process, pid: int) -> bool:
        """Whether it is another process: only that one has its device."""
        return WorkerFault.may_serve(self, victim, pid)


MODEL_DEVICE_LOST = Kind(
    "model-device-lost",
    "a worker's CUDA device fails until its process ends",
    ModelDeviceLost,
    targets=TARGETS,
    undo=UNDO,
    params=(AT_MOST,),
)
