"""BERT's forward pass on CUDA: one attention call for texts of all lengths, and CUDA graphs for small batches.

The pass over one query is about a hundred kernels of a few microseconds each, which take longer to launch than to run.
A CUDA graph launches all of them at once. Its shapes are fixed, so there is a graph for each of nine numbers of tokens.
Every worker is a process of its own and computes on its default stream.
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
from models.kernels.device import to_device
from models.kernels.ragged import Ragged

_SIZES = tuple(8 << power for power in range(9))  # 8 to 2,048 tokens; with more, kernels outlast their launch


class GraphedBert:
    """Computes the vectors of a `Bert` whose weights are on a CUDA device of compute capability 8.0 or newer."""

    scratch = ("_graphs",)  # inputs and outputs of the graphs, which are no weights (`models.weights`)

    def __init__(self, bert: Bert) -> None:
        self._bert = bert
        self._graphs: dict[int, tuple[Tensor, Callable[[], Tensor]]] = {}

    @property
    def width(self) -> int:
        """Components of one vector."""
        return self._bert.width

    def make_kernels(self) -> None:
        """Captures the graphs: 1 s, which no search waits for."""
        for size in _SIZES:
            inputs = to_device(_flat([[0] * size], size, size // 2), self._bert.device)
            self._graphs[size] = inputs, capture_graph(partial(self._pass, inputs, size))

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """[len(texts), width] vectors; `texts` are token ids, none empty."""
        tokens = sum(map(len, texts))
        size = next((size for size in _SIZES if size >= tokens), tokens)
        if size not in self._graphs or len(texts) > size // 2:
            return self._pass(to_device(_flat(texts, tokens, len(texts)), self._bert.device), tokens)
        inputs, replay = self._graphs[size]
        inputs.copy_(to_device(_flat(texts, size, size // 2), self._bert.device))
        return replay()[: len(texts)].clone()

    def _pass(self, inputs: Tensor, size: int) -> Tensor:
        """One vector for each text of `_flat`; the caller drops the rows beyond its texts."""
        tokens, positions, text_of = inputs[: 3 * size].view(3, size)
        starts = inputs[3 * size :]
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            x = self._bert.last_layer(tokens, positions, partial(self._attend, starts.int()))
        if self._bert.pooling == "cls":
            return x[starts[:-1].clamp(max=size - 1)]
        sums = x.new_zeros(len(starts), self.width).index_add_(0, text_of, x)
        return sums[:-1] / starts.diff()[:, None].clamp(min=1)

    def _attend(self, starts: Tensor, qkv: Tensor) -> Tensor:
        query, key, value = qkv.view(len(qkv), 3, self._bert.heads, -1).unbind(1)
        longest = self._bert.longest
        output = cast("Tensor", varlen_attn(query, key, value, starts, starts, longest, longest))
        return output.reshape(len(qkv), -1)


def _flat(texts: Sequence[Sequence[int]], size: int, max_texts: int) -> NDArray[np.int64]:
    """Token ids, their positions and the numbers of their texts, `size` of each; then `max_texts` starts and the end.

    Padding has the text number `max_texts`, which no text has: attention skips it, and `_pass` drops its sum.
    """
    flat = Ragged.of(texts)
    tokens = len(flat.values)
    padding = (0, size - tokens)
    starts = np.full(max_texts + 1, tokens)
    starts[: len(texts)] = flat.starts
    rows = np.pad(flat.rows, padding, constant_values=max_texts)
    return np.concatenate([np.pad(flat.values, padding), np.pad(flat.columns, padding), rows, starts])


def capture_graph(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A CUDA graph of `compute`: each call reads the same input tensors and overwrites the same output tensor."""
    side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(3):  # warm-up: libraries choose kernels and allocate at first, which must not be captured
            compute()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = compute()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay
