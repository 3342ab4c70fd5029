"""A worker's model takes longer for each batch: what is late is told so, and nothing is lost."""

from __future__ import annotations

from drills.faults.injector import Kind
from drills.faults.model_fault import AT_MOST, UNDO, ModelFault
from drills.faults.workers import TARGETS
from drills.params import Param


class ModelSlow(ModelFault):
    """Each batch takes `by_ms` longer."""

    name = "model-slow"
    kind = "slow"
    done = "took longer for a batch"

    @property
    def amount(self) -> int:
        """Milliseconds."""
        return int(self.aim.params["by_ms"])


MODEL_SLOW = Kind(
    "model-slow",
    "a worker's model takes longer for each batch",
    ModelSlow,
    targets=TARGETS,
    undo=UNDO,
    params=(AT_MOST, Param("by_ms", 200, "so much longer does each batch take", 1, 20_000)),
    figure=None,
)
