"""Content-based: products whose texts are near those of the latest products, new ones too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

from models.kernels.embedding_bag import EmbeddingBag
from models.kernels.linear import Linear, padded_rows, serving_dtype
from models.kernels.ragged import Ragged
from models.recommend.interface import Arrays, Constants, Ladder, Recipe, TrainingData, faded
from models.recommend.item_weights import added_apart
from models.recommend.pca import reduce_dimensions

_WIDTH = 128  # components of a text's vector: as good as all 384 for this use, in a third of the time
_LATEST = 50  # products of a history that count


class _Content:
    """Cosine between an item's vector and the weighted sum of the latest products' vectors, 0 where it is negative."""

    def __init__(self, vectors: Tensor, half_life: float) -> None:
        self._bag, self._half_life = EmbeddingBag(vectors), half_life
        self._precision = serving_dtype(vectors.device)
        self._layer = Linear(vectors, None, self._precision)

    def scores(self, history: Ragged) -> Tensor:
        recent = history.only(history.columns < _LATEST)
        sums = F.normalize(self._bag.of(recent, faded(recent, self._half_life)), dim=1)
        return self._cosines(sums).clamp_(min=0)

    def apart(self, row: Sequence[int], items: Sequence[int]) -> Tensor:
        """[len(row), len(items)]: the scores of these items, divided by how near each product of one history is."""
        near = added_apart(self, row, items, self._half_life, _LATEST)
        scores = self.scores(Ragged.of([row])).cpu()[0, torch.tensor(items)]
        return near * (scores / near.sum(dim=0).clamp_(min=1e-9))

    def _cosines(self, vectors: Tensor) -> Tensor:
        """[histories, items] float32 cosines. bfloat16, used where it is faster, gives nDCG@10 equal to four digits."""
        count = len(vectors)
        if padding := padded_rows(count) - count:
            vectors = F.pad(vectors, (0, 0, 0, padding))
        return self._layer(vectors.to(self._precision))[:count].float()


def _fit(data: TrainingData, constants: Constants) -> Arrays:
    del constants
    return {"vectors": reduce_dimensions(data.vectors, _WIDTH).contiguous()}


def _scorer(arrays: Arrays, constants: Constants, items: int) -> _Content:
    del items
    return _Content(arrays["vectors"], constants["latest"])


def _no_texts(data: TrainingData) -> str:
    return "" if data.vectors.numel() else "there are no texts"


CONTENT = Recipe(
    "content",
    "products whose texts are near those of the latest products",
    _fit,
    _scorer,
    (Ladder("latest", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 8.0, fitted=False),),
    too_large=_no_texts,
)
