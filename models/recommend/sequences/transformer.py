"""A transformer's layers, norm first, for sequences in which places know each other by how far apart they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor, nn

_INNER = 2  # times the width: SASRec has 1, BERT4Rec 4


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward layer, each behind a norm and beside a residual (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads = heads
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, _INNER * width), nn.Linear(_INNER * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, at: Tensor | None = None) -> Tensor:
        """[sequences, places, width], or [sequences, 1, width] for the place `at` of each sequence alone.

        `mask` is added to what attention compares: [heads, places, places], or [sequences, heads, 1, places] with `at`.
        """
        query, key, value = self.qkv(self.norm(x)).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        if at is not None:
            rows = torch.arange(len(x), device=x.device)
            query, x = query[rows, :, at].unsqueeze(2), x[rows, at].unsqueeze(1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        y: Tensor = x + self.dropout(self.down(self.dropout(F.gelu(self.up(self.inner_norm(x))))))
        return y


class Transformer(nn.Module):
    """Layers with one table of how much each head minds a distance (Shaw et al. 2018; Raffel et al. 2020).

    Distances are counted back from the place that asks, from `-reach` to `reach`; farther ones count as the farthest.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float, reach: int) -> None:
        super().__init__()
        self._reach = reach
        self.layers = nn.ModuleList(TransformerLayer(width, heads, dropout) for _ in range(layers))
        slopes = 2.0 ** -torch.arange(1, 2 * heads, 2)[:, None]  # from one head that looks near to one that looks far
        self.distance = nn.Parameter(-slopes * torch.arange(-reach, reach + 1).abs())
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, distance: Tensor, hidden: Tensor) -> Tensor:
        """[sequences, places, width]: every place, which does not see those that are `hidden` from it.

        `distance` is [places, places], `hidden` the same or [sequences, 1, places].
        """
        mask = self._mask(distance, hidden)
        for layer in self.layers:
            x = layer(x, mask)
        normed: Tensor = self.norm(x)
        return normed

    def last(self, x: Tensor, distance: Tensor, hidden: Tensor, at: Tensor) -> Tensor:
        """[sequences, width]: the place `at` of each sequence alone, of which only the last layer is computed less."""
        mask = self._mask(distance, hidden)
        *first, last = self.layers
        for layer in first:
            x = layer(x, mask)
        rows = torch.arange(len(x), device=x.device)
        full = mask.expand(len(x), -1, -1, -1)
        normed: Tensor = self.norm(last(x, full[rows, :, at].unsqueeze(2), at))
        return normed[:, 0]

    def _mask(self, distance: Tensor, hidden: Tensor) -> Tensor:
        """[heads, places, places], or [sequences, heads, places, places] where sequences hide different places."""
        minded = self.distance[:, distance.clamp(-self._reach, self._reach) + self._reach]
        hidden = hidden if hidden.dim() == 2 else hidden.unsqueeze(1)
        return minded.masked_fill(hidden, -torch.inf)
