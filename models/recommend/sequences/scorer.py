"""How a neural recommender answers: a batch of histories, grouped by length, through layers that are packed once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.kernels.linear import Linear, serving_dtype
from models.kernels.ragged import Ragged
from models.recommend.interface import Arrays, Constants
from models.recommend.sequences.network import SequenceNetwork
from models.recommend.sequences.padded import chunks, latest

Build = Callable[[int, Constants], SequenceNetwork]
"""Makes the network of a recommender for so many products, with its constants."""

_SOFTENED = 2.0  # the softmax's temperature: a blend adds scores, and one sure answer must not outweigh all others
_MOST_AT_ONCE = 64  # histories: as many as a worker computes together


class NetworkScorer:
    """A trained network as a recommender: the share that each product has in a softmax over all.

    0 for products that nobody met at training, and for a history that has no other ones.
    """

    def __init__(self, network: SequenceNetwork, output: Callable[[Tensor], Tensor], window: int, items: int) -> None:
        self._network, self._output, self._window, self._items = network, output, window, items

    def scores(self, history: Ragged) -> Tensor:
        """[histories, items] scores."""
        known, device = self._network.items, self._network.bias.device
        if (history.values >= known).any():
            history = history.only(history.values < known)
        total = torch.zeros(len(history.lengths), self._items, device=device)
        lengths = np.minimum(history.lengths, self._window)
        places = np.where(lengths > 0, lengths + self._network.behind, 0)
        for rows, width in chunks(places, self._network.places_at_once):
            batch = latest(history, rows, self._window, width).to(device)
            logits = self._output(self._network.last(batch))[: len(rows)]
            total[torch.from_numpy(rows).to(device), :known] = (logits / _SOFTENED).softmax(dim=1)
        return total

    def make_kernels(self) -> None:
        """Generates oneDNN's machine code for every number of rows that there is, which no request waits for."""
        counts = [1 << power for power in range(_MOST_AT_ONCE.bit_length())]
        with torch.inference_mode():
            for count in counts if self._network.items else ():
                self.scores(Ragged.of([[0]] * count))


def network_scorer(build: Build, arrays: Arrays, constants: Constants, items: int) -> NetworkScorer:
    """The scorer of what `fit_network` returned, with its linear layers packed in the fastest precision.

    Generates its kernels if torch has one thread, as `models.encoder.model.load_encoder` does, and for its reasons.
    """
    known, device = len(arrays["bias"]), arrays["bias"].device
    network = build(known, constants)  # not on the device `meta`, whose first use imports 190 MB in 7 s
    network.load_state_dict(dict(arrays), assign=True)
    network.requires_grad_(requires_grad=False).eval()
    output = Linear(network.vectors.weight[:known], network.bias, torch.float32)
    _pack(network, serving_dtype(device))
    scorer = NetworkScorer(network, output, int(constants["window"]), items)
    if device.type == "cpu" and torch.get_num_threads() == 1:
        scorer.make_kernels()
    return scorer


class _PackedLayer(nn.Module):
    """A linear layer for serving, of float32 in and out."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._layer, self._dtype = Linear(layer.weight, layer.bias, dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        rows = self._layer(x.reshape(-1, x.shape[-1]).to(self._dtype))
        return rows.float().view(*x.shape[:-1], -1)


def _pack(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, _PackedLayer(child, dtype))
        else:
            _pack(child, dtype)
