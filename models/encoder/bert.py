"""A BERT encoder's forward pass in plain torch, for texts that are grouped by length.

Not transformers' own `BertModel`, because a worker's start would wait for its import: 11 s here, 3 s for torch alone.
The tokens of all texts are concatenated, so texts are not padded to the longest: linear layers see each token once, and
attention runs once for each group of texts of equal length. Follows Devlin et al. 2018 as `BertModel` computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

from models.encoder.files import Pooling
from models.kernels.linear import SIZES, Linear, padded_rows


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    out: Linear
    out_norm: tuple[Tensor, Tensor]
    up: Linear
    down: Linear
    down_norm: tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """`count` texts of `length` tokens each; their tokens begin at row `start` of the concatenated tokens."""

    start: int
    count: int
    length: int


def groups_by_length(texts: Sequence[Sequence[int]]) -> list[Group]:
    """Groups of adjacent texts with the same number of tokens; the caller sorts `texts` by length first."""
    groups, start = [], 0
    for length, members in groupby(texts, key=len):
        count = sum(1 for _ in members)
        groups.append(Group(start, count, length))
        start += count * length
    return groups


class Bert:
    """One vector for each text from the last layer: the mean of its tokens' vectors, or that of its first, [CLS].

    `dtype` is the linear layers' precision; embeddings, norms, softmax and the residual stay in float32.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        heads: int,
        epsilon: float,
        dtype: torch.dtype,
        *,
        pooling: Pooling = "mean",
    ) -> None:
        self.heads, self._epsilon, self._dtype, self.pooling = heads, epsilon, dtype, pooling
        self._words = weights["embeddings.word_embeddings.weight"]
        token_type = weights["embeddings.token_type_embeddings.weight"][0]
        self._positions = weights["embeddings.position_embeddings.weight"] + token_type
        self._norm = _pair(weights, "embeddings.LayerNorm")
        count = 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("encoder.layer."))
        self._layers = [_layer(weights, f"encoder.layer.{number}.", dtype) for number in range(count)]

    @property
    def width(self) -> int:
        """Components of one vector."""
        return int(self._words.shape[1])

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self._words.device

    @property
    def longest(self) -> int:
        """The most tokens a text may have."""
        return len(self._positions)

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """[len(texts), width] float32 vectors; `texts` are token ids, sorted by length, none empty."""
        tokens = [token for text in texts for token in text]
        positions = [position for text in texts for position in range(len(text))]
        padding = [0] * (padded_rows(len(tokens)) - len(tokens))
        groups = groups_by_length(texts)
        ids, rows = (torch.tensor(part + padding, device=self.device) for part in (tokens, positions))
        x = self.last_layer(ids, rows, partial(self._attend, groups, len(padding)))
        if self.pooling == "cls":
            return torch.cat([_rows(x, group)[:, 0] for group in groups])
        return torch.cat([_rows(x, group).mean(dim=1) for group in groups])

    def last_layer(self, tokens: Tensor, positions: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """[len(tokens), width] of all texts' tokens; `positions` are those of the tokens in their texts.

        `attend` turns queries, keys and values [len(tokens), 3 * width] into what each token attends to.
        """
        x = F.embedding(tokens, self._words) + F.embedding(positions, self._positions)
        x = self._normed(x, self._norm)
        for layer in self._layers:
            x = self._through(layer, x, attend)
        return x

    def make_kernels(self) -> None:
        """Generates oneDNN's machine code for every padded number of rows: 0.3 s, which no search waits for."""
        for rows in SIZES:
            x = self._words.new_zeros((rows, self.width))
            self._through(self._layers[0], x, partial(self._attend, [Group(0, 1, rows)], 0))

    def _through(self, layer: _Layer, x: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """One layer. The outputs of `out` and `down`, in `dtype`, are added to a residual in float32."""
        x = self._normed(x.add_(layer.out(attend(layer.qkv(x.to(self._dtype))))), layer.out_norm)
        inner = layer.up.gelu(x.to(self._dtype))
        return self._normed(x.add_(layer.down(inner)), layer.down_norm)

    def _attend(self, groups: Sequence[Group], padding: int, qkv: Tensor) -> Tensor:
        """Attention, group by group; zeros for the rows of padding."""
        parts = [self._group(qkv, group) for group in groups]
        if padding:
            parts.append(qkv.new_zeros((padding, self.width)))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _group(self, qkv: Tensor, group: Group) -> Tensor:
        rows = _rows(qkv, group).view(group.count, group.length, 3, self.heads, -1)
        if qkv.device.type == "cpu":
            rows = rows.float()  # torch's bfloat16 kernel repacks its input: half as fast for short texts
        query, key, value = rows.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(group.count * group.length, -1).to(qkv.dtype)

    def _normed(self, x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), *norm, eps=self._epsilon)


def _rows(x: Tensor, group: Group) -> Tensor:
    rows = x[group.start : group.start + group.count * group.length]
    return rows.view(group.count, group.length, -1)


def _pair(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _layer(weights: Mapping[str, Tensor], prefix: str, dtype: torch.dtype) -> _Layer:
    parts = [_pair(weights, f"{prefix}attention.self.{part}") for part in ("query", "key", "value")]
    joined = torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])
    return _Layer(
        qkv=Linear(*joined, dtype),
        out=Linear(*_pair(weights, f"{prefix}attention.output.dense"), dtype),
        out_norm=_pair(weights, f"{prefix}attention.output.LayerNorm"),
        up=Linear(*_pair(weights, f"{prefix}intermediate.dense"), dtype),
        down=Linear(*_pair(weights, f"{prefix}output.dense"), dtype),
        down_norm=_pair(weights, f"{prefix}output.LayerNorm"),
    )
