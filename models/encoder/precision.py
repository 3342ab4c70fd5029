"""What the precision in which a model serves costs in search quality, measured before it is published."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log2

from torch import Tensor

from models.encoder.model import Encoder

MOST_LOST = 0.002  # nDCG@10; an encoder that loses more serves in float32
_SAMPLE, _AMONG, _WORDS, _FIRST = 1_000, 20_000, 2, 10


def lost_ndcg(titles: Sequence[str], vectors: Tensor, exact: Encoder, served: Encoder) -> float:
    """nDCG@10 of the `exact` encoder less that of the one to be `served`.

    Up to 1,000 products are each searched among up to 20,000, by vectors alone, with two words of their title;
    `vectors` are the products'. Negative where the served one happens to be better.
    """
    chance = random.Random(0)
    among = chance.sample(range(len(titles)), min(_AMONG, len(titles)))
    queries = [_some_words(titles[place], chance) for place in among[:_SAMPLE]]
    vectors, wanted = vectors[among], range(len(queries))
    return _ndcg(exact.encode(queries), vectors, wanted) - _ndcg(served.encode(queries), vectors, wanted)


def _some_words(title: str, chance: random.Random) -> str:
    words = title.split()
    return " ".join(words[place] for place in sorted(chance.sample(range(len(words)), min(_WORDS, len(words)))))


def _ndcg(queries: Tensor, vectors: Tensor, wanted: Sequence[int]) -> float:
    """Of one right product a query; one that only shares its score with others counts as the first of them."""
    scores = queries.to(vectors.device) @ vectors.T
    own = scores[list(wanted), list(wanted)]
    ranks = (scores > own[:, None]).sum(dim=1).tolist()
    return sum(1 / log2(rank + 2) for rank in ranks if rank < _FIRST) / len(wanted)
