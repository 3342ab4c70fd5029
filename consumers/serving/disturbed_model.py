"""The model as a drill disturbs it: the one place in a worker where what a model may run into is made to happen."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from consumers.channel.disturbance import Disturbance, Suffering
from models.base import Query
from models.weights import Bit, Weights
from schemas.records import Item


class DisturbedModel:
    """Passes everything on to the model; while a drill's order holds, with what is ordered.

    `nan`: scores that are no numbers. `slow`: each batch takes longer. `out_of_memory`: every second batch does not
    fit. `device_lost`: the CUDA device fails.
    """

    def __init__(self, model: Any, disturbance: Disturbance) -> None:
        self._model = model
        self._disturbance = disturbance
        self._ran_out = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, queries: Sequence[Query]) -> list[list[Item]]:
        """As the model's own."""
        kind = self._disturbance.kind
        if kind is not None:
            self._suffer(kind)
        answers: list[list[Item]] = self._model.predict(queries)
        return _without_numbers(answers) if kind == "nan" else answers

    def _suffer(self, kind: Suffering) -> None:
        if kind == "bit_flip":  # `BitFlip` does that
            return
        if kind == "out_of_memory":
            self._ran_out = not self._ran_out
            if not self._ran_out:
                return
        self._disturbance.suffer()
        if kind == "slow":
            time.sleep(self._disturbance.amount / 1000)
        elif kind == "out_of_memory":
            raise _torchs("OutOfMemoryError", MemoryError)("CUDA out of memory (a drill says so)")
        elif kind == "device_lost":
            raise _torchs("AcceleratorError", RuntimeError)("CUDA error: unspecified launch failure (a drill says so)")


class BitFlip:
    """Flips one bit of the weights in this process while a drill's order to do so holds, and flips it back then."""

    def __init__(self, weights: Weights, disturbance: Disturbance) -> None:
        self._weights = weights
        self._disturbance = disturbance
        self._flipped: Bit | None = None

    def step(self) -> None:
        """Obeys; call it often, from one thread."""
        is_ordered = self._disturbance.kind == "bit_flip"
        if is_ordered and self._flipped is None:
            self._flipped = self._weights.bit(self._disturbance.amount)
            if self._flipped is not None:
                self._flipped.flip()
                self._disturbance.suffer()
        elif self._flipped is not None and not is_ordered:
            self._flipped.flip()
            self._flipped = None
            if not self._weights.damage():
                self._disturbance.take_back()


def _without_numbers(answers: list[list[Item]]) -> list[list[Item]]:
    return [[Item(item.item_id, math.nan, item.title) for item in answer] for answer in answers]


def _torchs(name: str, otherwise: type[Exception]) -> type[Exception]:
    """Torch's own exception, where there is torch: what a model really raises."""
    kind: type[Exception] = getattr(sys.modules.get("torch"), name, otherwise)
    return kind
