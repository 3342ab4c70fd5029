"""The rows of the neural recommenders in the table: the constants that they share, and how large a shop may be."""

from __future__ import annotations

from functools import partial

from models.recommend.interface import Ladder, Recipe, TrainingData
from models.recommend.sequences.fitting import LEAST_EPOCHS, fit_network
from models.recommend.sequences.scorer import Build, network_scorer

_MOST_ITEMS = 100_000  # AdamW keeps five numbers for each of a product's 64: 130 MB, all of them written at each batch
_MOST_EVENTS = 2_000_000
_MICROSECONDS = 75  # of one slow core for an event in one epoch


def constant(name: str, value: float) -> Ladder:
    """A constant that training keeps as it is: a second value would be minutes more."""
    return Ladder(name, (value,), value)


_SHARED = (
    constant("decay", 0.01),
    constant("smoothing", 0.0),
    Ladder("window", (8.0, 16.0, 32.0, 64.0, 128.0), 64.0, fitted=False),  # latest products that count in an answer
)


LONGEST = constant("longest", 100.0)
"""The most products before the next one that training looks at."""


def sequence_recipe(name: str, about: str, build: Build, own: tuple[Ladder, ...]) -> Recipe:
    """A neural recommender's row: `build` makes its network from the number of products and the constants."""
    return Recipe(
        name,
        about,
        partial(fit_network, name, build),
        partial(network_scorer, build),
        (*own, *_SHARED),
        quick=False,
        too_large=_too_large,
        kept=True,
    )


def _too_large(data: TrainingData) -> str:
    if data.items_met > _MOST_ITEMS:
        return f"it learns a vector for each of at most {_MOST_ITEMS:,} products, and {data.items_met:,} have events"
    events = len(data.pairs().item)
    if events <= _MOST_EVENTS:
        return ""
    minutes = events * LEAST_EPOCHS * _MICROSECONDS / 60e6
    return f"{events:,} events would take some {minutes:.0f} minutes; it is fitted to at most {_MOST_EVENTS:,}"
