"""Learns from a shop's judgements how much words weigh against meaning.

Without judgements both weigh the same. That was chosen on Cranfield and SciFact's training queries among some thirty
ways; on SciFact's test queries both scaled to 0..1 and added are better, by 0.006 nDCG@10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.data.judgements import Judgements
from models.encoder.model import Encoder
from models.evaluation.metrics import ndcg
from models.search.lexical import Lexical
from models.search.reading import ReadQuery

LEXICAL_WEIGHT = 0.5
_WEIGHTS = [step / 20 for step in range(21)]
_FEWEST, _MOST = 20, 2_000  # queries: from fewer nothing is learnt, more are not looked at
_BEST = 200


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The products that words or meaning rank first for one query, their scores by both, and which are wanted."""

    indices: Tensor
    words: Tensor
    meaning: Tensor
    wanted: set[int]

    def quality(self, weight: float) -> float:
        """nDCG@10 with this weight of words."""
        order = torch.lerp(self.meaning, self.words, weight).argsort(descending=True)[:10]
        return ndcg(self.indices[order].tolist(), self.wanted)


def learnt_weight(
    judgements: Judgements, item_ids: Sequence[str], lexical: Lexical, vectors: Tensor, encoder: Encoder
) -> tuple[float, dict[str, float]]:
    """The weight of words with the best nDCG@10, and the nDCG@10 on queries that did not choose the weight.

    That is the mean over two halves of the queries, each with the weight that is best on the other half; beside it the
    one without judgements. With fewer than 20 queries about products of the catalogue the usual weight stays.
    """
    index_of = {item_id: index for index, item_id in enumerate(item_ids)}
    known = [{index_of[item_id] for item_id in wanted if item_id in index_of} for wanted in judgements.wanted]
    pairs = [(query, wanted) for query, wanted in zip(judgements.queries, known, strict=True) if wanted][:_MOST]
    if not pairs:
        return LEXICAL_WEIGHT, {"judged_queries": 0.0}
    readings = [lexical.read(query) for query, _ in pairs]
    queries = encoder.encode([reading.text for reading in readings]).cpu()
    vectors = vectors.float()
    rows = [
        _candidates(reading, query, wanted, lexical, vectors)
        for reading, query, (_, wanted) in zip(readings, queries, pairs, strict=True)
    ]
    measured = {"judged_queries": float(len(rows)), "judged_ndcg_10_untuned": _mean(rows, LEXICAL_WEIGHT)}
    if len(rows) < _FEWEST:
        return LEXICAL_WEIGHT, measured
    halves = rows[::2], rows[1::2]
    held_out = [_mean(half, _best_weight(other)) * len(half) for half, other in (halves, halves[::-1])]
    return _best_weight(rows), measured | {"judged_ndcg_10": sum(held_out) / len(rows)}


def _candidates(reading: ReadQuery, query: Tensor, wanted: set[int], lexical: Lexical, vectors: Tensor) -> _Candidates:
    words, meaning = torch.from_numpy(lexical.scores([reading])[0]), vectors @ query
    best = min(_BEST, len(words))
    indices = torch.unique(torch.cat([words.topk(best).indices, meaning.topk(best).indices]))
    return _Candidates(indices, words[indices], meaning[indices], wanted)


def _best_weight(rows: Sequence[_Candidates]) -> float:
    """Of weights that are as good, the one nearest to that without judgements."""
    return max(_WEIGHTS, key=lambda weight: (round(_mean(rows, weight), 6), -abs(weight - LEXICAL_WEIGHT)))


def _mean(rows: Sequence[_Candidates], weight: float) -> float:
    return sum(row.quality(weight) for row in rows) / len(rows)
