"""What every recommender has in common: fitted to a shop's interactions, it scores a batch of histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.interactions import Interactions
from models.kernels.ragged import Ragged
from models.recommend.histories import Pairs, now_of, pairs_of

if TYPE_CHECKING:
    from models.training import Progress  # what imports the models of search too, of which a worker needs none

Arrays: TypeAlias = Mapping[str, Tensor]
"""What a recommender learnt, by name, as it is kept in a version's safetensors file."""

Constants: TypeAlias = Mapping[str, float]
"""A recommender's constants by name. 0 for a half-life means that nothing fades."""


class Scorer(Protocol):
    """A fitted recommender that is ready to answer."""

    def scores(self, history: Ragged) -> Tensor:
        """[histories, items] float32 scores. `history`: indices of items, each row's latest first."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A shop's interactions, with items as indices: those that most users met come first.

    `vectors` [items, width] are unit vectors of the items' texts; `device` is where large matrices are computed.
    `progress` is told of a fit that takes minutes.
    """

    events: Interactions
    item_rows: NDArray[np.int64]
    items: int
    vectors: Tensor
    device: torch.device
    seed: int = 0
    progress: Progress | None = None
    _kept: dict[tuple[str, tuple[float, ...]], Arrays] = field(default_factory=dict, init=False)

    def fitted(self, recipe: Recipe, constants: Constants) -> Arrays:
        """What a recommender learns from these data. One that is to be kept is fitted once."""
        if not recipe.kept:
            return recipe.fit(self, constants)
        values = tuple(constants[ladder.name] for ladder in recipe.ladders if ladder.fitted)
        key = (recipe.name, values)
        if key not in self._kept:
            self._kept[key] = recipe.fit(self, constants)
        return self._kept[key]

    @property
    def now(self) -> int:
        """The time from which ages are counted."""
        return now_of(self.events)

    @lru_cache(maxsize=2)  # noqa: B019 - the data live as long as the training, and two sets of pairs are bounded
    def pairs(self, half_life_days: float = 0.0, power: float = 1.0) -> Pairs:
        """Distinct pairs of user and item, weighted by their strongest event's weight to a power: 0 makes all equal.

        The weight halves every `half_life_days`, never for 0.
        """
        events = replace(self.events, weight=self.events.weight**power)
        return pairs_of(events, self.item_rows, self.items, self.now, half_life_days or None)

    @property
    def items_met(self) -> int:
        """How many items have an event. They are the first ones."""
        return int(self.pairs().item.max(initial=-1)) + 1

    @property
    def equal_weights(self) -> bool:
        """Whether all events weigh the same, as in a shop that keeps purchases only."""
        weight = self.events.weight
        return not len(weight) or bool((weight == weight[0]).all())


@dataclass(frozen=True, slots=True)
class Ladder:
    """The values, ascending, that training tries for one constant, beginning at `start`.

    `fitted`: whether another value means fitting again; else it is used in scoring alone.
    """

    name: str
    values: tuple[float, ...]
    start: float
    fitted: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """One row of the table of recommenders.

    `fit` returns the arrays that are published, `scorer` the recommender that they make. `quick` recommenders are
    tried at a system's first start too. `too_large` says why data of that size cannot be fitted, empty if they can.
    `kept`: what it learnt is kept while the same data are in use, because to fit it takes minutes.
    """

    name: str
    about: str
    fit: Callable[[TrainingData, Constants], Arrays]
    scorer: Callable[[Arrays, Constants, int], Scorer]
    ladders: tuple[Ladder, ...] = ()
    quick: bool = True
    too_large: Callable[[TrainingData], str] = lambda data: ""  # noqa: ARG005 - most fit data of any size
    kept: bool = False

    @property
    def start(self) -> dict[str, float]:
        """The constants that are tried first."""
        return {ladder.name: ladder.start for ladder in self.ladders}


HALF_LIFE_DAYS = (7.0, 14.0, 30.0, 60.0, 120.0, 240.0, 480.0, 0.0)
"""Half-lives of the weight of an event, in days, the last one for ever."""

LATEST = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 0.0)
"""Half-lives of the weight of a product by its place in a history, the last one for ever."""


def faded(history: Ragged, half_life: float) -> NDArray[np.float32]:
    """The weight of each product of a history, the latest 1; all 1 when `half_life` is 0."""
    if not half_life:
        return np.ones(len(history.values), np.float32)
    weights: NDArray[np.float32] = np.exp2(-history.columns / half_life).astype(np.float32)
    return weights
