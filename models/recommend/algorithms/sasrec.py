"""SASRec (Kang and McAuley 2018, arXiv:1808.09781) with a softmax over all products: a causal transformer."""

from __future__ import annotations

import torch
from torch import Tensor

from models.recommend.interface import Constants
from models.recommend.sequences.network import CausalNetwork
from models.recommend.sequences.padded import Padded
from models.recommend.sequences.recipe import LONGEST, constant, sequence_recipe
from models.recommend.sequences.transformer import Transformer


class CausalTransformer(CausalNetwork):
    """Every place attends to itself and to those before it. Places are told apart by distance, not by number.

    A window may begin anywhere in a history, so that a place's number says little, and how far back it is much.
    """

    def __init__(self, items: int, constants: Constants) -> None:
        width, heads, layers = (int(constants[name]) for name in ("width", "heads", "layers"))
        super().__init__(items, width, constants["dropout"])
        self.transformer = Transformer(width, heads, layers, constants["dropout"], int(constants["longest"]))

    def states(self, batch: Padded) -> Tensor:
        distance = _distance(batch.items)
        states: Tensor = self.transformer(self.embedded(batch.items), distance, distance < 0)
        return states

    def last(self, batch: Padded) -> Tensor:
        distance = _distance(batch.items)
        return self.transformer.last(self.embedded(batch.items), distance, distance < 0, batch.lengths - 1)


def _distance(items: Tensor) -> Tensor:
    """[places, places] how far back a place is from the place that asks."""
    places = torch.arange(items.shape[1], device=items.device)
    return places[:, None] - places


SASREC = sequence_recipe(
    "sasrec",
    "what a causal transformer expects after the latest products (SASRec)",
    CausalTransformer,
    (
        constant("width", 64.0),
        constant("layers", 2.0),
        constant("heads", 2.0),
        constant("dropout", 0.3),
        constant("learning_rate", 2e-3),
        LONGEST,
    ),
)
