"""Catalogues of any size with titles like the sample shop's, to measure how costs grow with the catalogue."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

_BLOCK, _LONGEST = 50_000, 9  # vectors made at a time; words of a title


def more_titles(titles: Sequence[str], count: int) -> list[str]:
    """`titles`, then new ones from a Markov chain: each word follows its predecessor in one of `titles`."""
    following, chance = defaultdict(list), random.Random(7)
    for title in titles:
        words = ["", *title.split(), ""]
        for word, after in pairwise(words):
            following[word].append(after)
    unique_titles = dict.fromkeys(titles[:count])
    while len(unique_titles) < count:
        unique_titles[_title(following, chance)] = None
    return list(unique_titles)


def more_vectors(vectors: Tensor, count: int) -> Tensor:
    """`vectors` [n, width] of unit length, then mixtures of two of them (3/4 and 1/4) with noise; [count, width].

    With 100,000 encoded and 300,000 mixed vectors, recall@10 with 16 to 256 cells was the same as with 400,000 encoded
    ones, to within 0.01.
    """
    chance = torch.Generator().manual_seed(5)
    parts = [vectors[:count]]
    for first in range(len(vectors), count, _BLOCK):
        size = min(_BLOCK, count - first)
        most, some = (vectors[torch.randint(len(vectors), (size,), generator=chance)].float() for _ in range(2))
        noise = torch.randn(most.shape, generator=chance) / most.shape[1] ** 0.5
        parts.append(F.normalize(0.75 * most + 0.25 * some + 0.6 * noise, dim=1).to(vectors.dtype))
    return torch.cat(parts)


def _title(following: dict[str, list[str]], chance: random.Random) -> str:
    words = [chance.choice(following[""])]
    while words[-1] and len(words) < _LONGEST:
        words.append(chance.choice(following[words[-1]]))
    return " ".join(words).strip()
