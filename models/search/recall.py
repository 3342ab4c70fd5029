"""Measures how many of the best products an inverted file finds, before a model is published."""

from __future__ import annotations

import random
from collections.abc import Sequence

from models.encoder.model import Encoder
from models.search.inverted_file import InvertedFile
from models.search.ranking import Ranked, Ranking
from standfast.core.errors import ModelError

RECALL = 0.95
_SAMPLE, _WORDS, _TOP = 200, 3, 10


def choose_probes(
    ranking: Ranking, inverted_file: InvertedFile, titles: Sequence[str], encoder: Encoder
) -> dict[str, float]:
    """`probes`, the fewest cells, in steps of 1.4, with which recall@10 is 0.95; and the recall measured.

    Measured with up to three words of each of 200 titles: by BM25 and vectors, and by vectors alone, as for a query
    that shares no word with any product. Raises ModelError when half of the cells are not enough.
    """
    texts = queries(titles)
    vectors = encoder.encode(texts).cpu()
    readings = [ranking.read(text) for text in texts], [ranking.read("")] * len(texts)
    exact_rankings = [ranking.rank_all(part, vectors, _TOP) for part in readings]
    lowest, half = 0.0, max(1, len(inverted_file) // 2)
    for probes in [*(steps for step in range(40) if (steps := int(16 * 2 ** (step / 2))) < half), half]:
        rankings = [ranking.rank_nearest_cells(part, vectors, _TOP, inverted_file, probes) for part in readings]
        hybrid, vectors_alone = map(recall, rankings, exact_rankings)
        lowest = min(hybrid, vectors_alone)
        if lowest >= RECALL:
            measured = {"recall_10": hybrid, "recall_10_vectors_alone": vectors_alone}
            return measured | {"cells": float(len(inverted_file)), "probes": float(probes)}
    raise ModelError(
        f"reading half of {len(inverted_file):,} cells finds {lowest:.3f} of the ten best of {len(titles):,} products, "
        f"and {RECALL} is wanted; set search.exact_up_to to {len(titles)}, so that every product is compared"
    )


def queries(titles: Sequence[str]) -> list[str]:
    """One to three consecutive words of each of 200 titles; always the same for the same titles."""
    rng = random.Random(0)
    return [_some_words(title.split(), rng) for title in rng.sample(titles, min(_SAMPLE, len(titles)))]


def recall(rankings: Ranked, exact_rankings: Ranked) -> float:
    """Share of the exact best products that were found; products with the score of the last of them count too."""
    pairs = [
        (sum(value >= best[-1] - 1e-5 for value in values), len(best))
        for values, best in zip(rankings[0], exact_rankings[0], strict=True)
        if best
    ]
    return sum(hits for hits, _ in pairs) / sum(size for _, size in pairs)


def _some_words(words: Sequence[str], rng: random.Random) -> str:
    count = rng.randint(1, _WORDS)
    start = rng.randint(0, max(0, len(words) - count))
    return " ".join(words[start : start + count])
