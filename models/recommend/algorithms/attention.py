"""The softmax-attention recommender: y = f(sum over k of a_k W_k x), a = softmax(W x + b).

x is the history at several speeds: for each half-life the mean of the products' vectors, faded with their place. The
softmax says how much each of the matrices W_k counts for this history; f is a norm and the products' scores.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.recommend.interface import Constants
from models.recommend.sequences.network import CausalNetwork
from models.recommend.sequences.padded import Padded
from models.recommend.sequences.recipe import LONGEST, constant, sequence_recipe

_HALF_LIVES = (0.05, 1.0, 3.0, 10.0, 30.0, 1000.0)  # in products: from the last one alone to all of them alike


class MixedMatrices(CausalNetwork):
    """A few matrices, mixed anew for each history."""

    places_at_once = 4_096  # only one state for each history is computed

    def __init__(self, items: int, constants: Constants) -> None:
        width, matrices = int(constants["width"]), int(constants["matrices"])
        super().__init__(items, width, constants["dropout"])
        inputs = width * len(_HALF_LIVES)
        self.matrices, self.gate = nn.Linear(inputs, matrices * width, bias=False), nn.Linear(inputs, matrices)
        self.norm = nn.LayerNorm(width)

    def states(self, batch: Padded) -> Tensor:
        places = torch.arange(batch.items.shape[1], device=batch.items.device)
        return self._mixed(self.embedded(batch.items), places[:, None] - places)

    def last(self, batch: Padded) -> Tensor:
        places = torch.arange(batch.items.shape[1], device=batch.items.device)
        distance = batch.lengths[:, None, None] - 1 - places
        return self._mixed(self.embedded(batch.items), distance)[:, 0]

    def _mixed(self, vectors: Tensor, distance: Tensor) -> Tensor:
        """[sequences, asked, width] from [sequences, places, width]; `distance` [sequences or none, asked, places]."""
        x = self.dropout(_at_all_speeds(vectors, distance))
        shares = self.gate(x).softmax(dim=-1)
        mapped = self.matrices(x).unflatten(-1, (shares.shape[-1], -1))
        y: Tensor = self.dropout(self.norm((shares.unsqueeze(-1) * mapped).sum(dim=-2)))
        return y


def _at_all_speeds(vectors: Tensor, distance: Tensor) -> Tensor:
    """[sequences, asked, half-lives * width] weighted means of what is not behind the place that asks."""
    half_lives = torch.tensor(_HALF_LIVES, device=vectors.device)[:, None, None]
    weights = torch.exp2(-distance.clamp(min=0).unsqueeze(-3) / half_lives).masked_fill(distance.unsqueeze(-3) < 0, 0)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return (weights @ vectors.unsqueeze(1)).transpose(1, 2).flatten(2)


ATTENTION = sequence_recipe(
    "attention",
    "a few matrices that attention mixes for each history: y = f(sum of a_k W_k x), a = softmax(W x + b)",
    MixedMatrices,
    (
        constant("width", 64.0),
        constant("matrices", 8.0),
        constant("dropout", 0.3),
        constant("learning_rate", 2e-3),
        LONGEST,
    ),
)
