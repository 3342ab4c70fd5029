"""Recommendation for known, new and unknown users alike, in one batched score over the whole catalogue.

    score = EASE(history) / best of this answer  +  c * cosine(latest products, item)  +  t * trend(item)

EASE knows the products with enough interactions, the cosine of text vectors reaches new ones, the trend (what
sells these days) answers users of whom nothing is known. Live history comes on top of what training knew.
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
from models.kernels.device import in_halves, sent
from models.kernels.embedding_bag import Summed
from models.kernels.linear import Linear, rounded, serving_dtype
from models.kernels.ragged import Ragged
from models.recommend.histories import TrainedHistories
from schemas.records import Item

_CONFIG, _ARRAYS = "recommend.json", "recommend.safetensors"
_SCORED = 500  # the latest products, from which scores are computed: the last of them weighs 1/32 of the first
_BLOCK = 64  # queries whose scores of the whole catalogue stay in a core's cache from one step to the next


class Parameters(msgspec.Struct, frozen=True):
    """Chosen on the sample shop's temporal split and a split 20 % earlier; see `models.evaluation`."""

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
    """What is kept beside the arrays. The first rows of the catalogue are the ones EASE knows."""

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
        self._ease, self._latest = Summed(ease), Summed(vectors)
        self._precision = serving_dtype(vectors.device)
        self._likeness = Linear(vectors, None, self._precision)
        self._places = {item_id: place for place, item_id in enumerate(config.item_ids)}

    @property
    def label(self) -> str:
        """`recommend@<version>`."""
        return self._label

    def predict(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        """One list for each query, best first. Products that are not in the catalogue are no part of it."""
        blocks = (queries[first : first + _BLOCK] for first in range(0, len(queries), _BLOCK))
        return [answer for block in blocks for answer in in_halves(self._answers, block)]

    def warm_up(self) -> None:
        """One answer each with and without history."""
        some = tuple(self._config.item_ids[:3])
        self.predict([RecommendQuery(None, 10), RecommendQuery(None, 10, some)])

    def seen(self, query: RecommendQuery) -> list[int]:
        """Places of all the user's products, latest first, each once: the live history, then what training knew."""
        live = [self._places[item] for item in query.history if item in self._places]
        known = self._histories.of(query.user_id)
        return list(dict.fromkeys([*reversed(live), *known])) if live else known

    def scores(self, seen: Sequence[Sequence[int]]) -> Tensor:
        """[len(seen), items] for histories of places, latest first."""
        return self._scores(Ragged.of(seen))

    def _answers(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        seen = Ragged.of([self.seen(query) for query in queries])
        scored = seen.only(seen.columns < _SCORED) if (seen.lengths > _SCORED).any() else seen
        with torch.inference_mode():
            scores = self._scores(scored)
            self._hide(scores, seen, [query.exclude_seen for query in queries])
            count = min(max(query.k for query in queries), scores.shape[1])
            values, places = scores.topk(max(count, 0), dim=1)
        answers = zip(queries, values.tolist(), places.tolist(), strict=True)
        return [self._answer(v, p, query.k) for query, v, p in answers]

    def _scores(self, history: Ragged) -> Tensor:
        use, known = self._config.parameters, len(self._ease)
        fade, near = self._fade(history), history.columns < use.latest
        result = self._alike(F.normalize(self._latest.of(history.only(near), fade[near]), dim=1))
        result = result.clamp_(min=0).mul_(use.content_weight).add_(self._trend, alpha=use.trend_weight)
        if known:
            old = history.values < known
            if not old.all():
                history = history.only(old)
                fade = self._fade(history)
            strength = self._ease.of(history, fade)
            result[:, :known].addcdiv_(strength, strength.amax(dim=1, keepdim=True).clamp_(min=1e-6))
        return result

    def _alike(self, latest: Tensor) -> Tensor:
        """[histories, items] cosines, float32. In bfloat16, where that is fast, nDCG@10 is the same to four digits."""
        count = len(latest)
        if filled := rounded(count) - count:
            latest = F.pad(latest, (0, 0, 0, filled))
        return self._likeness(latest.to(self._precision))[:count].float()

    def _fade(self, history: Ragged) -> NDArray[np.float32]:
        """What each product weighs, the latest most."""
        half_life = self._config.parameters.history_half_life
        faded: NDArray[np.float32] = np.exp2(-history.columns / half_life).astype(np.float32)
        return faded

    @staticmethod
    def _hide(scores: Tensor, seen: Ragged, excluded: Sequence[bool]) -> None:
        hidden = seen if all(excluded) else seen.only(np.repeat(excluded, seen.lengths))
        rows, columns = (sent(part, scores.device) for part in (hidden.rows, hidden.values))
        scores[rows, columns] = -torch.inf

    def _answer(self, values: Sequence[float], places: Sequence[int], k: int) -> list[Item]:
        ids, titles = self._config.item_ids, self._config.titles
        best = zip(values[: max(k, 0)], places[: max(k, 0)], strict=True)
        return [Item(ids[p], v, titles[p]) for v, p in best if v > -np.inf]


def save_recommender(
    config: RecommendConfig, arrays: tuple[Tensor, Tensor, Tensor], histories: TrainedHistories, folder: Path
) -> None:
    """Writes a recommendation model's files."""
    ease, vectors, trend = arrays
    kept = {
        "ease": ease.contiguous(),
        "vectors": vectors.contiguous(),
        "trend": trend.contiguous(),
        "users": torch.from_numpy(histories.hashes),
        "starts": torch.from_numpy(histories.starts),
        "history": torch.from_numpy(histories.items),
    }
    save_file(kept, folder / _ARRAYS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(config))


def load_recommender(folder: Path, label: str, device: str = "auto") -> Recommender:
    """The model in `folder`, whose files the caller has verified; runs no inference."""
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=RecommendConfig)
    place = torch_device(device)
    stored = load_file(folder / _ARRAYS)
    # Copies: a loaded file is mapped, and a live model must not change when somebody writes to its file.
    ease, vectors, trend = (stored[name].to(place, copy=True) for name in ("ease", "vectors", "trend"))
    histories = TrainedHistories(*(stored[name].clone().numpy() for name in ("users", "starts", "history")))
    return Recommender(label, config, (ease, vectors, trend), histories)
