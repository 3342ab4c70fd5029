"""A worker's model hands out scores that are no numbers: none of them may be published."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.model_fault import AT_MOST, UNDO, ModelFault
from drills.faults.workers import TARGETS


class ModelNan(ModelFault):
    """Every score of every answer is NaN."""

    name = "model-nan"
    kind = "nan"
    done = "gave scores that are no numbers"


MODEL_NAN = Kind(
    "model-nan",
    "a worker's model gives scores that are no numbers",
    ModelNan,
    targets=TARGETS,
    undo=UNDO,
    params=(AT_MOST,),
    figure=None,
)
