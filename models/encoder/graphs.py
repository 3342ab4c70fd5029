"""A BERT's pass on CUDA: texts of all lengths in one attention call, and few tokens as a CUDA graph.

A pass over one query is about a hundred kernels of a few microseconds, which take longer to launch than to run. A
graph launches all of them at once; it wants fixed shapes, so there is one for each of a few numbers of tokens.
A worker is a process, so it has its device's default stream to itself and needs no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn

from models.encoder.bert import Bert
from models.kernels.device import sent
from models.kernels.ragged import Ragged

_SIZES = tuple(8 << power for power in range(9))  # tokens: 8 to 2,048, beyond which kernels outlast their launch


class GraphedBert:
    """What `Bert` gives, computed on the CUDA device that its weights are on; compute capability 8 or newer."""

    def __init__(self, bert: Bert) -> None:
        self._bert = bert
        self._graphs: dict[int, tuple[Tensor, Callable[[], Tensor]]] = {}

    @property
    def width(self) -> int:
        """Components of one vector."""
        return self._bert.width

    def make_kernels(self) -> None:
        """Captures the graphs: 1 s, after which no text waits for it."""
        for size in _SIZES:
            given = sent(_flat([[0] * size], size, size // 2), self._bert.device)
            self._graphs[size] = given, captured(partial(self._pass, given, size))

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """[len(texts), width]; `texts` are token ids, none empty."""
        tokens = sum(map(len, texts))
        size = next((size for size in _SIZES if size >= tokens), tokens)
        if size not in self._graphs or len(texts) > size // 2:
            return self._pass(sent(_flat(texts, tokens, len(texts)), self._bert.device), tokens)
        given, replay = self._graphs[size]
        given.copy_(sent(_flat(texts, size, size // 2), self._bert.device))
        return replay()[: len(texts)].clone()

    def _pass(self, given: Tensor, size: int) -> Tensor:
        """One vector for each text of `_flat`; what stands for texts that are not there is to be thrown away."""
        tokens, places, text_of = given[: 3 * size].view(3, size)
        starts = given[3 * size :]
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            x = self._bert.last_layer(tokens, places, partial(self._attend, starts.int()))
        if self._bert.pooling == "cls":
            return x[starts[:-1].clamp(max=size - 1)]
        sums = x.new_zeros(len(starts), self.width).index_add_(0, text_of, x)
        return sums[:-1] / starts.diff()[:, None].clamp(min=1)

    def _attend(self, starts: Tensor, qkv: Tensor) -> Tensor:
        query, key, value = qkv.view(len(qkv), 3, self._bert.heads, -1).unbind(1)
        longest = self._bert.longest
        found = cast("Tensor", varlen_attn(query, key, value, starts, starts, longest, longest))
        return found.reshape(len(qkv), -1)


def _flat(texts: Sequence[Sequence[int]], size: int, most: int) -> NDArray[np.int64]:
    """Tokens, their places and their texts, `size` of each; then where each of `most` texts begins, and the end.

    Rows that fill up belong to no text: attention leaves them out, and their sum is that of a text too many.
    """
    flat = Ragged.of(texts)
    total = len(flat.values)
    fill = (0, size - total)
    starts = np.full(most + 1, total)
    starts[: len(texts)] = flat.starts
    rows = np.pad(flat.rows, fill, constant_values=most)
    return np.concatenate([np.pad(flat.values, fill), np.pad(flat.columns, fill), rows, starts])


def captured(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A CUDA graph of `compute`: calling it computes anew from what `compute` read, and overwrites what it gave."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):  # libraries choose kernels and take memory at first, which no graph may hold
            compute()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = compute()

    def replay() -> Tensor:
        graph.replay()
        return found

    return replay
