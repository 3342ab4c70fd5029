"""Recommends products to known, new and unknown users by one batched score over the whole catalogue.

    score = EASE(history) / best of this answer  +  c * cosine(latest products, item)  +  t * trend(item)

EASE covers the products that most users met, the cosine of text vectors covers new products, and the trend (products
that sell now) serves users without a history. A user's live history is added to the history at training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.base import RecommendQuery
from models.encoder.model import torch_device
from models.kernels.device import in_halves, to_device
from models.kernels.embedding_bag import EmbeddingBag
from models.kernels.linear import Linear, padded_rows, serving_dtype
from models.kernels.ragged import Ragged
from models.recommend.histories import TrainedHistories
from schemas.records import Item

_CONFIG, _ARRAYS = "recommend.json", "recommend.safetensors"
_SCORED = 500  # latest products of a history that count for scores: the oldest weighs 1/32 of the latest
_BLOCK = 64  # queries at once, so that their scores of the whole catalogue stay in a core's cache


class Parameters(msgspec.Struct, frozen=True):
    """Weights and sizes, chosen on the sample shop's temporal split and one 20 % earlier; see `models.evaluation`."""

    regularisation: float = 50.0
    fade_days: float | None = 60.0
    trend_days: float = 5.0
    trend_weight: float = 0.4
    content_weight: float = 0.4
    latest: int = 15
    content_width: int = 128
    history_half_life: float = 100.0
    max_items: int = 20_000


class RecommendConfig(msgspec.Struct, frozen=True):
    """A model's `recommend.json`, beside its arrays. EASE covers the first of the items."""

    item_ids: list[str]
    titles: list[str]
    parameters: Parameters


class Recommender:
    """A loaded recommendation model; see `models.base.Model`.

    `ease` [m, m], `vectors` [n, width] unit rows, `trend` [n] in [0, 1], with m <= n items.
    """

    def __init__(
        self,
        label: str,
        config: RecommendConfig,
        arrays: tuple[Tensor, Tensor, Tensor],
        histories: TrainedHistories,
    ) -> None:
        self._label, self._config, self._histories = label, config, histories
        ease, vectors, self._trend = arrays
        self._ease, self._latest = EmbeddingBag(ease), EmbeddingBag(vectors)
        self._precision = serving_dtype(vectors.device)
        self._cosine_layer = Linear(vectors, None, self._precision)
        self._indices = {item_id: index for index, item_id in enumerate(config.item_ids)}

    @property
    def label(self) -> str:
        """`recommend@<version>`."""
        return self._label

    def predict(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        """One list for each query, best first. Products of a history that are not in the catalogue are ignored."""
        blocks = (queries[first : first + _BLOCK] for first in range(0, len(queries), _BLOCK))
        return [answer for block in blocks for answer in in_halves(self._answers, block)]

    def warm_up(self) -> None:
        """One answer with and one without a history."""
        first_items = tuple(self._config.item_ids[:3])
        self.predict([RecommendQuery(None, 10), RecommendQuery(None, 10, first_items)])

    def seen(self, query: RecommendQuery) -> list[int]:
        """Indices of the user's products, latest first, each once: the live history, then the history at training."""
        live = [self._indices[item] for item in query.history if item in self._indices]
        trained = self._histories.of(query.user_id)
        return list(dict.fromkeys([*reversed(live), *trained])) if live else trained

    def scores(self, seen: Sequence[Sequence[int]]) -> Tensor:
        """[len(seen), items] scores for histories of item indices, latest first."""
        return self._scores(Ragged.of(seen))

    def _answers(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        seen = Ragged.of([self.seen(query) for query in queries])
        scored = seen.only(seen.columns < _SCORED) if (seen.lengths > _SCORED).any() else seen
        with torch.inference_mode():
            scores = self._scores(scored)
            self._exclude(scores, seen, [query.exclude_seen for query in queries])
            count = min(max(query.k for query in queries), scores.shape[1])
            best = scores.topk(max(count, 0), dim=1)
        rows = zip(queries, best.values.tolist(), best.indices.tolist(), strict=True)
        return [self._answer(best_scores, indices, query.k) for query, best_scores, indices in rows]

    def _scores(self, history: Ragged) -> Tensor:
        parameters, ease_items = self._config.parameters, len(self._ease)
        weights, recent = self._weights(history), history.columns < parameters.latest
        result = self._cosines(F.normalize(self._latest.of(history.only(recent), weights[recent]), dim=1))
        result = result.clamp_(min=0).mul_(parameters.content_weight).add_(self._trend, alpha=parameters.trend_weight)
        if ease_items:
            known_to_ease = history.values < ease_items
            if not known_to_ease.all():
                history = history.only(known_to_ease)
                weights = self._weights(history)
            strength = self._ease.of(history, weights)
            result[:, :ease_items].addcdiv_(strength, strength.amax(dim=1, keepdim=True).clamp_(min=1e-6))
        return result

    def _cosines(self, recent_vectors: Tensor) -> Tensor:
        """[histories, items] float32 cosines. bfloat16, used where it is faster, gives nDCG@10 equal to four digits."""
        count = len(recent_vectors)
        if padding := padded_rows(count) - count:
            recent_vectors = F.pad(recent_vectors, (0, 0, 0, padding))
        return self._cosine_layer(recent_vectors.to(self._precision))[:count].float()

    def _weights(self, history: Ragged) -> NDArray[np.float32]:
        """The weight of each product of a history, the latest most."""
        half_life = self._config.parameters.history_half_life
        faded: NDArray[np.float32] = np.exp2(-history.columns / half_life).astype(np.float32)
        return faded

    @staticmethod
    def _exclude(scores: Tensor, seen: Ragged, excluded: Sequence[bool]) -> None:
        excluded_items = seen if all(excluded) else seen.only(np.repeat(excluded, seen.lengths))
        rows, columns = (to_device(part, scores.device) for part in (excluded_items.rows, excluded_items.values))
        scores[rows, columns] = -torch.inf

    def _answer(self, best_scores: Sequence[float], indices: Sequence[int], k: int) -> list[Item]:
        ids, titles = self._config.item_ids, self._config.titles
        best = zip(best_scores[: max(k, 0)], indices[: max(k, 0)], strict=True)
        return [Item(ids[index], score, titles[index]) for score, index in best if score > -np.inf]


def save_recommender(
    config: RecommendConfig, arrays: tuple[Tensor, Tensor, Tensor], histories: TrainedHistories, folder: Path
) -> None:
    """Writes a recommendation model's files."""
    ease, vectors, trend = arrays
    arrays_by_name = {
        "ease": ease.contiguous(),
        "vectors": vectors.contiguous(),
        "trend": trend.contiguous(),
        "users": torch.from_numpy(histories.hashes),
        "starts": torch.from_numpy(histories.starts),
        "history": torch.from_numpy(histories.items),
    }
    save_file(arrays_by_name, folder / _ARRAYS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(config))


def load_recommender(folder: Path, label: str, device: str = "auto") -> Recommender:
    """The model in `folder`, whose files the caller has verified; runs no inference."""
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=RecommendConfig)
    target_device = torch_device(device)
    stored = load_file(folder / _ARRAYS)
    # Copies, because a loaded file is mapped: a write to the file would change the model that serves.
    ease, vectors, trend = (stored[name].to(target_device, copy=True) for name in ("ease", "vectors", "trend"))
    histories = TrainedHistories(*(stored[name].clone().numpy() for name in ("users", "starts", "history")))
    return Recommender(label, config, (ease, vectors, trend), histories)
