"""A worker's models with what watches them and what drills do to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from consumers.channel.disturbance import Disturbance
from consumers.process.weights_watch import WeightsWatch
from consumers.serving.disturbed_model import BitFlip, DisturbedModel
from models.base import LoadedModels, Model
from models.weights import Weights


class ModelHealth:
    """The models as they serve (`model`, `challenger`), the watch over their weights, and the order of a drill.

    Args:
        weights: those of the models, with the checksums from when they were loaded.
        every_s: how long one round of the watch takes.
    """

    def __init__(self, models: LoadedModels, weights: Weights, every_s: float, file: Path) -> None:
        self._disturbance = Disturbance(file)
        self._watch = WeightsWatch(weights, every_s)
        self._flip = BitFlip(weights, self._disturbance)
        self.model = self._disturbed(models.champion)
        self.challenger = None if models.challenger is None else self._disturbed(models.challenger)

    def _disturbed(self, model: Model[Any]) -> Model[Any]:
        return cast("Model[Any]", DisturbedModel(model, self._disturbance))

    def start(self, damaged: Callable[[str], object]) -> None:
        """Begins to watch; `damaged` is called from a thread of its own with what is wrong."""
        self._disturbance.reset()

        def found(damage: str) -> None:
            self._disturbance.found()
            damaged(damage)

        self._watch.start(found)

    def step(self) -> None:
        """Obeys a drill; call it often, from one thread."""
        self._flip.step()

    def hurry(self) -> None:
        """Has all weights be compared now; returns at once."""
        self._watch.hurry()
