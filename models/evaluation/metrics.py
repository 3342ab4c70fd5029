"""Ranking quality: nDCG and recall over full rankings; no sampled negatives anywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import log2


def ndcg(ranking: Sequence[int], relevant: Collection[int], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `k` items, with binary relevance; 0 to 1."""
    gain = sum(1 / log2(rank + 2) for rank, item in enumerate(ranking[:k]) if item in relevant)
    return gain / sum(1 / log2(rank + 2) for rank in range(min(k, len(relevant))))


def recall(ranking: Sequence[int], relevant: Collection[int], k: int = 20) -> float:
    """Share of the relevant items that are among the first `k`."""
    return sum(item in relevant for item in ranking[:k]) / len(relevant)
