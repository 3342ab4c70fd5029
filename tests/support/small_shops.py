"""Small shops whose customers' habits are known, so that what a recommender must learn is known too."""

from __future__ import annotations

import numpy as np
import torch

from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.recommend.interface import TrainingData

_HOUR_MS = 3600 * 1000


def events_of(pairs: list[tuple[int, int]], items: int, users: int) -> Interactions:
    """Events (user, item), one an hour."""
    user, item = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    at = 1_600_000_000_000 + np.arange(len(pairs), dtype=np.int64) * _HOUR_MS
    names = [f"u{n}" for n in range(users)], [f"i{n}" for n in range(items)]
    return Interactions(*names, user, item, at, np.ones(len(pairs), np.float32), "test")


def catalogue_of(items: int) -> Catalogue:
    """Products without texts."""
    ids = [f"i{n}" for n in range(items)]
    return Catalogue(ids, ids, [""] * items, "")


def two_tastes(users: int = 80) -> Interactions:
    """Even users have products 0-9, odd ones 10-19, each without two of them, in an order of their own."""
    draw = np.random.default_rng(1)
    return events_of(
        [(user, int(item) + 10 * (user % 2)) for user in range(users) for item in draw.permutation(10)[:8]], 20, users
    )


def walks(users: int = 90) -> Interactions:
    """Every user goes round a circle of 30 products from a place of their own."""
    return events_of([(user, (7 * user + step) % 30) for step in range(12) for user in range(users)], 30, users)


def data_of(events: Interactions, seed: int = 0) -> TrainingData:
    """As `prepared` would make them; the products' vectors tell one half of them from the other."""
    items = len(events.items)
    vectors = torch.nn.functional.normalize(torch.eye(items)[:, : items // 2] + 0.1, dim=1)
    return TrainingData(events, np.arange(items), items, vectors, torch.device("cpu"), seed)
