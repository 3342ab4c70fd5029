"""What a search may ask for beside the best products: that filters hold, and counts of what matches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.attributes.columns import Mask
from models.attributes.facets import facet
from models.attributes.live import LiveAttributes
from models.base import Refined
from models.search.changes import Changes
from models.search.ranking import Ranked, Ranking
from models.search.reading import ReadQuery
from schemas.records import Facet

_HALF = 0.5  # of the words of the product that has the most of them
_NEAREST = 100


def best_of(
    ranking: Ranking | Changes, readings: Sequence[ReadQuery], queries: Tensor, count: int, masks: Sequence[Mask | None]
) -> Ranked:
    """The `count` best products for each query, of those that its mask allows; see `Ranking.best`."""
    if not any(mask is not None for mask in masks):
        return ranking.best(readings, queries, count)
    scores, indices = [list[float]()] * len(readings), [list[int]()] * len(readings)
    free = [row for row, mask in enumerate(masks) if mask is None]
    if free:
        found = ranking.best([readings[row] for row in free], queries[torch.tensor(free)], count)
        for row, of_scores, of_indices in zip(free, *found, strict=True):
            scores[row], indices[row] = of_scores, of_indices
    for row, mask in enumerate(masks):
        if mask is not None:
            ([scores[row]], [indices[row]]) = ranking.best_allowed(readings[row], queries[row : row + 1], count, mask)
    return scores, indices


def matches(ranking: Ranking | Changes, reading: ReadQuery, vector: Tensor, exact: Sequence[int]) -> Mask:
    """The products that match a query, filters aside.

    Those whose code or title it is, and those that have at least half of what the best of them has of its words, by
    weight. If no product has any of its words, the 100 whose texts are nearest to it.
    """
    shown = ranking.shown()
    coverage = ranking.coverage(reading)
    coverage[~shown] = 0
    most = coverage.max(initial=0.0)
    if most > 0:
        matching: Mask = coverage >= _HALF * most
    else:
        [scores], [indices] = ranking.best([reading], vector[None], _NEAREST)
        matching = np.zeros(len(shown), bool)
        matching[[index for score, index in zip(scores, indices, strict=True) if score > -torch.inf]] = True
    matching[list(exact)] = True
    return matching


def counted(attributes: LiveAttributes, refined: Refined, matching: Mask) -> dict[str, Facet]:
    """The facets that are asked for. The filter on a facet's own attribute does not count for it.

    So a page can show beside the values that are chosen what the others would add.
    """
    masks = {each.attribute: attributes.mask([each], len(matching)) for each in refined.filters}
    facets = {}
    for name in refined.facets:
        marked = matching.copy()
        for attribute, mask in masks.items():
            if attribute != name:
                marked &= mask
        facets[name] = facet(attributes, name, marked)
    return facets
