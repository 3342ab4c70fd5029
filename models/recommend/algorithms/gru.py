"""GRU4Rec (Hidasi et al. 2016, arXiv:1511.06939) with a softmax over all products: a recurrent network."""

from __future__ import annotations

from torch import Tensor, nn

from models.recommend.interface import Constants
from models.recommend.sequences.network import CausalNetwork
from models.recommend.sequences.padded import Padded
from models.recommend.sequences.recipe import LONGEST, constant, sequence_recipe


class RecurrentNetwork(CausalNetwork):
    """Each state is the last one, gated by the product that comes in."""

    places_at_once = 4_096  # its layers run place by place: all histories of a batch together

    def __init__(self, items: int, constants: Constants) -> None:
        width, hidden = int(constants["width"]), int(constants["hidden"])
        super().__init__(items, width, constants["dropout"])
        self.layer = nn.GRU(width, hidden, batch_first=True)
        self.out = nn.Linear(hidden, width)

    def states(self, batch: Padded) -> Tensor:
        states, _ = self.layer(self.embedded(batch.items))
        out: Tensor = self.out(self.dropout(states))
        return out

    def last(self, batch: Padded) -> Tensor:
        states, _ = self.layer(self.embedded(batch.items))
        rows = (batch.lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
        out: Tensor = self.out(states.gather(1, rows)[:, 0])
        return out


GRU = sequence_recipe(
    "gru",
    "what a recurrent network expects after the latest products (GRU4Rec)",
    RecurrentNetwork,
    (
        constant("width", 64.0),
        constant("hidden", 128.0),
        constant("dropout", 0.3),
        constant("learning_rate", 2e-3),
        LONGEST,
    ),
)
