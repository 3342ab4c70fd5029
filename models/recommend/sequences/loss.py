"""Softmax cross-entropy over all products, or in a larger shop over the right one and many others."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

from models.recommend.sequences.network import Asked, SequenceNetwork

ALL_UP_TO = 4_096  # products: above, the softmax would take longer than all other layers together
_OTHERS = 2_048  # products that a batch of a larger shop is compared with
_NEVER = -1e4  # not minus infinity: label smoothing multiplies it


def loss_of(network: SequenceNetwork, asked: Asked, smoothing: float) -> Tensor:
    """The mean over the questions. `smoothing`: the share of the probability that is spread over all products."""
    if network.items > ALL_UP_TO:
        return _sampled(network, asked)
    logits = network.logits(asked.states)
    logits[asked.rows, asked.known] = _NEVER
    return F.cross_entropy(logits, asked.wanted, label_smoothing=smoothing)


def _sampled(network: SequenceNetwork, asked: Asked) -> Tensor:
    """Compared with products drawn evenly, each of which stands for as many as were not drawn (Jean et al. 2015)."""
    drawn = torch.randperm(network.items, device=asked.wanted.device)[:_OTHERS]
    weight, bias = network.vectors.weight, network.bias
    own = (asked.states * weight[asked.wanted]).sum(dim=1) + bias[asked.wanted]
    others = F.linear(asked.states, weight[drawn], bias[drawn]) + math.log(network.items / len(drawn))
    others = others.masked_fill(drawn == asked.wanted[:, None], _NEVER)
    first = torch.zeros_like(asked.wanted)
    return F.cross_entropy(torch.cat([own[:, None], others], dim=1), first)
