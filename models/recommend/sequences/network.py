"""What every neural recommender of sequences is: vectors of products, and what a sequence calls for next."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor, nn

from models.recommend.sequences.padded import Padded


@dataclass(frozen=True, slots=True)
class Asked:
    """What a batch asks of a network: which product stands where its `states` [questions, width] were computed.

    `wanted` [questions] are the right answers. `rows` and `known` are pairs of a question and a product that its
    sequence has elsewhere, which is never the answer: a history has each product once.
    """

    states: Tensor
    wanted: Tensor
    rows: Tensor
    known: Tensor


class SequenceNetwork(nn.Module):
    """A network whose products have one vector each, for what goes in and for what comes out (tied weights).

    `symbols` are vectors beyond those of products. `places_at_once`: how many places of a batch a worker computes
    together, a power of two, so that what is between its layers stays in a core's cache. `behind`: how many places it
    needs behind a sequence to tell what is next.
    """

    places_at_once = 512
    behind = 0

    def __init__(self, items: int, width: int, dropout: float, symbols: int = 0) -> None:
        super().__init__()
        self.items, self.width = items, width
        self.vectors = nn.Embedding(items + symbols, width)
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        self.bias = nn.Parameter(torch.zeros(items))
        self.dropout = nn.Dropout(dropout)

    def embedded(self, items: Tensor) -> Tensor:
        """[..., width] the products' vectors, of size 1 in each component."""
        embedded: Tensor = self.dropout(self.vectors(items) * self.width**0.5)
        return embedded

    def logits(self, states: Tensor) -> Tensor:
        """[rows, items] how much each product fits a state."""
        return F.linear(states, self.vectors.weight[: self.items], self.bias)

    @abstractmethod
    def asked(self, batch: Padded) -> Asked:
        """What a batch of training asks."""

    @abstractmethod
    def last(self, batch: Padded) -> Tensor:
        """[sequences, width] the state from which the product after each sequence is told."""


class CausalNetwork(SequenceNetwork):
    """A network that tells at each place what comes next, from that place and those before: all prefixes are asked."""

    @abstractmethod
    def states(self, batch: Padded) -> Tensor:
        """[sequences, places, width]; what stands behind a place changes nothing of its state."""

    def asked(self, batch: Padded) -> Asked:
        """At each place but the last: which product is next?"""
        before = Padded(batch.items[:, :-1], batch.lengths - 1)
        places = before.items.shape[1]
        known = torch.ones(places, places, dtype=torch.bool, device=batch.items.device).tril()
        return questions(self.states(before), batch.items[:, 1:], before.filled, known, before)


def questions(states: Tensor, wanted: Tensor, asked: Tensor, known: Tensor, batch: Padded) -> Asked:
    """The questions at the places [sequences, places] where `asked` is true.

    `known` [sequences or none, places, places]: at which other places of the batch a place's answer cannot stand.
    """
    number = asked.flatten().cumsum(0).view_as(asked) - 1
    sequence, place, other = (known & asked[:, :, None]).nonzero(as_tuple=True)
    return Asked(states[asked], wanted[asked], number[sequence, place], batch.items[sequence, other])
