"""BERT4Rec (Sun et al. 2019, arXiv:1904.06690): a transformer that fills gaps; what follows is a gap at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from models.recommend.interface import Constants
from models.recommend.sequences.network import Asked, SequenceNetwork, questions
from models.recommend.sequences.padded import Padded
from models.recommend.sequences.recipe import constant, sequence_recipe
from models.recommend.sequences.transformer import Transformer

_PREFIXES = (
    0.4  # share of the sequences with a single gap, at the end, as in serving: one question each, of some thirty
)


class MaskedTransformer(SequenceNetwork):
    """Every place attends to all others; the vector after those of the products stands for a gap."""

    behind = 1

    def __init__(self, items: int, constants: Constants) -> None:
        width, heads, layers = (int(constants[name]) for name in ("width", "heads", "layers"))
        super().__init__(items, width, constants["dropout"], symbols=1)
        self.transformer = Transformer(width, heads, layers, constants["dropout"], int(constants["longest"]))
        self.gaps = constants["gaps"]

    def asked(self, batch: Padded) -> Asked:
        """Gaps at random, or one at the end of a prefix of random length: which products stood there?"""
        device, lengths = batch.items.device, batch.lengths
        prefix = torch.rand(len(lengths), device=device) < _PREFIXES
        cut = 2 + (torch.rand(len(lengths), device=device) * (lengths - 1)).long()
        batch = Padded(batch.items, torch.where(prefix, cut, lengths))
        places = torch.arange(batch.items.shape[1], device=device)
        drawn = torch.rand(batch.items.shape, device=device) < self.gaps
        gap = torch.where(prefix[:, None], places == batch.lengths[:, None] - 1, drawn) & batch.filled
        embedded = self.embedded(batch.items.masked_fill(gap, self.items))
        states = self.transformer(embedded, places[:, None] - places, ~batch.filled[:, None])
        return questions(states, batch.items, gap, (batch.filled & ~gap)[:, None].expand(-1, len(places), -1), batch)

    def last(self, batch: Padded) -> Tensor:
        """The state of a gap behind the last product."""
        items = batch.items.scatter(1, batch.lengths[:, None], self.items)
        places = torch.arange(items.shape[1], device=items.device)
        hidden = (places > batch.lengths[:, None])[:, None]
        return self.transformer.last(self.embedded(items), places[:, None] - places, hidden, batch.lengths)


BERT4REC = sequence_recipe(
    "bert4rec",
    "what a transformer that fills gaps puts after the latest products (BERT4Rec)",
    MaskedTransformer,
    (
        constant("width", 64.0),
        constant("layers", 2.0),
        constant("heads", 2.0),
        constant("dropout", 0.2),
        constant("gaps", 0.3),
        constant("learning_rate", 2e-3),
        constant("longest", 50.0),  # half as many as the others: twice as many ends, at which serving asks
    ),
)
