"""A worker's model runs out of memory in every second batch: it is computed in halves, or once more, and answered."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.model_fault import AT_MOST, UNDO, ModelFault
from drills.faults.workers import TARGETS


class ModelOutOfMemory(ModelFault):
    """The exception is torch's own, or Python's where there is no torch."""

    name = "model-out-of-memory"
    kind = "out_of_memory"
    done = "ran out of memory"


MODEL_OUT_OF_MEMORY = Kind(
    "model-out-of-memory",
    "a worker's model runs out of memory in every second batch",
    ModelOutOfMemory,
    targets=TARGETS,
    undo=UNDO,
    params=(AT_MOST,),
    figure=None,
)
