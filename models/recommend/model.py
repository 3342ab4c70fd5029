"""Recommends products to known, new and unknown users by one batched score over the whole catalogue.

The scores are those of the recommenders that training chose (`models.recommend.table`), blended with the weights that
it learnt. A user's live history is added to the history at training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.attributes.checking import refusal
from models.attributes.columns import Columns, Mask, load_attributes
from models.attributes.live import LiveAttributes
from models.attributes.reading import Attributes
from models.base import Change, RecommendQuery
from models.encoder.model import torch_device
from models.kernels.device import to_device
from models.kernels.ragged import Ragged
from models.recommend.blend import Blend
from models.recommend.histories import TrainedHistories
from models.recommend.interface import Arrays
from models.recommend.reasons import reasons
from models.recommend.selection import Part
from models.recommend.table import TABLE
from schemas.records import Item
from standfast.core.errors import ModelError

_CONFIG, _ARRAYS = "recommend.json", "recommend.safetensors"
SCORED = 500  # latest products of a history that count for scores
_BLOCK = 64  # queries at once, so that their scores of the whole catalogue stay in a core's cache


class RecommendConfig(msgspec.Struct, frozen=True):
    """A model's `recommend.json`, beside its arrays: the catalogue, and the recommenders whose scores are blended."""

    item_ids: list[str]
    titles: list[str]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A recommendation model as it is published: one set of arrays for each of the config's parts."""

    config: RecommendConfig
    arrays: Sequence[Arrays]
    prior: Tensor
    histories: TrainedHistories

    def scorer(self, device: torch.device) -> Blend:
        """The blend of the parts on a device."""
        parts = [
            (
                TABLE[part.recommender].scorer(_on(arrays, device), part.constants, len(self.config.item_ids)),
                part.weight,
            )
            for part, arrays in zip(self.config.parts, self.arrays, strict=True)
        ]
        return Blend(parts, self.prior.to(device))

    def model(self, label: str, device: str = "cpu", attributes: Columns | None = None) -> Recommender:
        """The model as it serves."""
        return Recommender(label, self.config, self.scorer(torch_device(device)), self.histories, attributes)


def _on(arrays: Arrays, device: torch.device) -> Arrays:
    """Copies, because a loaded file is mapped: a write to the file would change the model that serves."""
    return {name: array.to(device, copy=True) for name, array in arrays.items()}


class Recommender:
    """A loaded recommendation model; see `models.base.Model`."""

    def __init__(
        self,
        label: str,
        config: RecommendConfig,
        scorer: Blend,
        histories: TrainedHistories,
        attributes: Columns | None = None,
    ) -> None:
        self._label, self._config, self._scorer, self._histories = label, config, scorer, histories
        self._described = attributes
        self._attributes = None if attributes is None else LiveAttributes(attributes)
        self._indices = {item_id: index for index, item_id in enumerate(config.item_ids)}
        self._titles = config.titles
        self._deleted: set[int] = set()
        self._columns: Tensor | None = None  # of the deleted products, until another one changes

    @property
    def label(self) -> str:
        """`recommend@<version>`."""
        return self._label

    def predict(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        """One list for each query, best first. Products of a history that are not in the catalogue are ignored."""
        blocks = (queries[first : first + _BLOCK] for first in range(0, len(queries), _BLOCK))
        return [answer for block in blocks for answer in self._answers(block)]

    def least(self, query: RecommendQuery) -> int:
        """All products but those that are deleted, excluded or filtered out can be ranked."""
        left_out = self._deleted.union(self.seen(query) if query.exclude_seen else ())
        if (allowed := self._allowed(query)) is not None:
            return min(query.k, len(set(np.flatnonzero(allowed).tolist()) - left_out))
        return min(query.k, len(self._config.item_ids) - len(left_out))

    def refusal(self, query: RecommendQuery) -> str:
        """Why the query cannot be answered; empty if it can."""
        return "" if query.refined is None else refusal(query.refined, self._described, self._label)

    def warm_up(self) -> None:
        """One answer with and one without a history."""
        first_items = tuple(self._config.item_ids[:3])
        self.predict([RecommendQuery(None, 10), RecommendQuery(None, 10, first_items)])

    @property
    def vectors_of(self) -> str:
        """Nothing: it recommends products of its training only; see `models.base.Changeable`."""
        return ""

    def needs_vector(self, product: Change) -> bool:
        """No."""
        del product
        return False

    def vector(self, text: str) -> bytes:
        """No vector."""
        del text
        return b""

    def change(self, product: Change, vector: bytes) -> None:
        """Shows a product's new title, or recommends it no more; a product that came after training is ignored."""
        del vector
        index = self._indices.get(product.item_id)
        if index is not None:
            self._titled(index, product.title or self._config.titles[index])
            (self._deleted.add if product.title is None else self._deleted.discard)(index)
            self._columns = None
            self._describe(index, product.attributes)

    def restore(self, item_id: str) -> None:
        """Recommends a product as it was at training."""
        index = self._indices.get(item_id)
        if index is not None:
            self._titled(index, self._config.titles[index])
            self._deleted.discard(index)
            self._columns = None
            if self._attributes is not None:
                self._attributes.forget(index)

    def _describe(self, index: int, attributes: Attributes) -> None:
        if self._attributes is None:
            return
        if self._attributes.trained.as_trained(index, attributes):
            self._attributes.forget(index)
        else:
            self._attributes.put(index, attributes)

    def _titled(self, index: int, title: str) -> None:
        if self._titles is self._config.titles:
            self._titles = list(self._titles)
        self._titles[index] = title

    def seen(self, query: RecommendQuery) -> list[int]:
        """Indices of the user's products, latest first, each once: the live history, then the history at training."""
        live = [self._indices[item] for item in query.history if item in self._indices]
        trained = self._histories.of(query.user_id)
        return list(dict.fromkeys([*reversed(live), *trained])) if live else trained

    def scores(self, seen: Sequence[Sequence[int]]) -> Tensor:
        """[len(seen), items] scores for histories of item indices, latest first."""
        return self._scorer.scores(_scored(Ragged.of(seen)))

    def _answers(self, queries: Sequence[RecommendQuery]) -> list[list[Item]]:
        seen = Ragged.of([self.seen(query) for query in queries])
        refined = [(row, query) for row, query in enumerate(queries) if query.refined is not None]
        with torch.inference_mode():
            scores = self._scorer.scores(_scored(seen))
            self._exclude(scores, seen, [query.exclude_seen for query in queries])
            if self._deleted:
                scores[:, self._deleted_columns(scores.device)] = -torch.inf
            for row, query in refined:
                if (allowed := self._allowed(query)) is not None:
                    scores[row, torch.from_numpy(np.flatnonzero(~allowed)).to(scores.device)] = -torch.inf
            count = min(max(query.k for query in queries), scores.shape[1])
            best = scores.topk(max(count, 0), dim=1)
        rows = zip(queries, best.values.tolist(), best.indices.tolist(), strict=True)
        answers = [self._answer(best_scores, indices, query.k) for query, best_scores, indices in rows]
        for row, query in refined:
            if query.refined is not None and query.refined.explain:
                answers[row] = self._explained(self.seen(query)[:SCORED], answers[row])
        return answers

    def _allowed(self, query: RecommendQuery) -> Mask | None:
        """The products that a query's filters leave; None if it has none."""
        if query.refined is None or not query.refined.filters:
            return None
        if self._attributes is None:
            raise ModelError(self.refusal(query))
        return self._attributes.mask(query.refined.filters, len(self._config.item_ids))

    def _explained(self, history: Sequence[int], answer: Sequence[Item]) -> list[Item]:
        with torch.inference_mode():
            why = reasons(self._scorer, history, [self._indices[item.item_id] for item in answer], self._product)
        return [replace(item, why=reason) for item, reason in zip(answer, why, strict=True)]

    def _product(self, index: int) -> tuple[str, str]:
        """Id and title of a product."""
        return self._config.item_ids[index], self._titles[index]

    def _deleted_columns(self, device: torch.device) -> Tensor:
        if self._columns is None:
            self._columns = torch.tensor(sorted(self._deleted), device=device)
        return self._columns

    @staticmethod
    def _exclude(scores: Tensor, seen: Ragged, excluded: Sequence[bool]) -> None:
        excluded_items = seen if all(excluded) else seen.only(np.repeat(excluded, seen.lengths))
        rows, columns = (to_device(part, scores.device) for part in (excluded_items.rows, excluded_items.values))
        scores[rows, columns] = -torch.inf

    def _answer(self, best_scores: Sequence[float], indices: Sequence[int], k: int) -> list[Item]:
        ids, titles = self._config.item_ids, self._titles
        best = zip(best_scores[: max(k, 0)], indices[: max(k, 0)], strict=True)
        return [Item(ids[index], score, titles[index]) for score, index in best if score > -np.inf]


def _scored(seen: Ragged) -> Ragged:
    return seen.only(seen.columns < SCORED) if (seen.lengths > SCORED).any() else seen


def save_recommender(fitted: Fitted, folder: Path) -> None:
    """Writes a recommendation model's files."""
    histories = fitted.histories
    stored = {
        "prior": fitted.prior.contiguous(),
        "users": torch.from_numpy(histories.hashes),
        "starts": torch.from_numpy(histories.starts),
        "history": torch.from_numpy(histories.items),
    }
    for index, arrays in enumerate(fitted.arrays):
        stored |= {f"{index}.{name}": array.contiguous() for name, array in arrays.items()}
    save_file(stored, folder / _ARRAYS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(fitted.config))


def load_recommender(folder: Path, label: str, device: str = "auto") -> Recommender:
    """The model in `folder`, whose files the caller has verified; runs no inference. Raises ModelError."""
    try:
        config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=RecommendConfig)
        unknown = {part.recommender for part in config.parts} - TABLE.keys()
    except msgspec.ValidationError as problem:
        raise _other_release(label, str(problem)) from problem
    if unknown:
        raise _other_release(label, f"it blends {', '.join(sorted(unknown))}")
    stored = load_file(folder / _ARRAYS)
    arrays = [
        {name.partition(".")[2]: array for name, array in stored.items() if name.startswith(f"{index}.")}
        for index in range(len(config.parts))
    ]
    histories = TrainedHistories(*(stored[name].clone().numpy() for name in ("users", "starts", "history")))
    return Fitted(config, arrays, stored["prior"], histories).model(label, device, load_attributes(folder))


def _other_release(label: str, problem: str) -> ModelError:
    return ModelError(
        f"{label} was trained by another release and cannot be read ({problem}); run `standfast models train recommend`"
    )
