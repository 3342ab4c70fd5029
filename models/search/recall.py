"""How many of the best products a ranking by cells finds, measured before it is published."""

from __future__ import annotations

import random
from collections.abc import Sequence

from models.encoder.model import Encoder
from models.search.inverted_file import Cells
from models.search.ranking import Ranked, Ranking
from standfast.core.errors import ModelError

RECALL = 0.95
_SAMPLE, _WORDS, _FIRST = 200, 3, 10


def cheapest(ranking: Ranking, cells: Cells, titles: Sequence[str], encoder: Encoder) -> dict[str, float]:
    """`probes`, the fewest cells to read, in steps of 1.4, that find 95 % of the ten best; and what they find.

    Measured with up to three words each of 200 titles; by the whole ranking, and by vectors alone as for a
    query that shares no word with any product. Raises ModelError when half of the cells is not enough.
    """
    typed = queries(titles)
    vectors, asked = encoder.encode(typed).cpu(), (typed, [""] * len(typed))
    wanted = [ranking.of_all(texts, vectors, _FIRST) for texts in asked]
    worst, half = 0.0, max(1, len(cells) // 2)
    for probes in [*(steps for step in range(40) if (steps := int(16 * 2 ** (step / 2))) < half), half]:
        rankings = [ranking.of_cells(texts, vectors, _FIRST, cells, probes) for texts in asked]
        hybrid, alone = map(recall, rankings, wanted)
        worst = min(hybrid, alone)
        if worst >= RECALL:
            measured = {"recall_10": hybrid, "recall_10_vectors_alone": alone}
            return measured | {"cells": float(len(cells)), "probes": float(probes)}
    raise ModelError(
        f"reading half of {len(cells):,} cells finds {worst:.3f} of the ten best of {len(titles):,} products, and "
        f"{RECALL} is wanted; set search.exact_up_to to {len(titles)}, so that every product is compared"
    )


def queries(titles: Sequence[str]) -> list[str]:
    """Some words in a row of some titles, always the same ones."""
    chance = random.Random(0)
    return [_piece(title.split(), chance) for title in chance.sample(titles, min(_SAMPLE, len(titles)))]


def recall(rankings: Ranked, wanted: Ranked) -> float:
    """Share of the wanted that were found; one with the score of the last that was wanted is as good as it."""
    pairs = [
        (sum(value >= best[-1] - 1e-5 for value in values), len(best))
        for values, best in zip(rankings[0], wanted[0], strict=True)
        if best
    ]
    return sum(hits for hits, _ in pairs) / sum(size for _, size in pairs)


def _piece(words: Sequence[str], chance: random.Random) -> str:
    count = chance.randint(1, _WORDS)
    start = chance.randint(0, max(0, len(words) - count))
    return " ".join(words[start : start + count])
