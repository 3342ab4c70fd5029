"""Measures how much search quality the precision of serving costs, before a model is published."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log2

from torch import Tensor

from models.encoder.model import Encoder

MOST_LOST = 0.002  # in nDCG@10; a model that would lose more serves in float32
_SAMPLE, _CANDIDATES, _WORDS, _TOP = 1_000, 20_000, 2, 10


def lost_ndcg(titles: Sequence[str], vectors: Tensor, exact: Encoder, served: Encoder) -> float:
    """nDCG@10 with the `exact` encoder minus nDCG@10 with the `served` one; negative where `served` is better.

    Up to 1,000 products are each searched for among up to 20,000, by vectors alone, with two words of their title.
    `vectors` [len(titles), width] are the products'.
    """
    rng = random.Random(0)
    candidates = rng.sample(range(len(titles)), min(_CANDIDATES, len(titles)))
    queries = [_some_words(titles[index], rng) for index in candidates[:_SAMPLE]]
    vectors, relevant = vectors[candidates], range(len(queries))
    return _ndcg(exact.encode(queries), vectors, relevant) - _ndcg(served.encode(queries), vectors, relevant)


def _some_words(title: str, rng: random.Random) -> str:
    words = title.split()
    return " ".join(words[index] for index in sorted(rng.sample(range(len(words)), min(_WORDS, len(words)))))


def _ndcg(queries: Tensor, vectors: Tensor, relevant: Sequence[int]) -> float:
    """nDCG@10 with one relevant product for each query; among products of the same score it counts as the first."""
    scores = queries.to(vectors.device) @ vectors.T
    relevant_scores = scores[list(relevant), list(relevant)]
    ranks = (scores > relevant_scores[:, None]).sum(dim=1).tolist()
    return sum(1 / log2(rank + 2) for rank in ranks if rank < _TOP) / len(relevant)
