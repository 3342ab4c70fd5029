"""The weights in memory: all arrays of a model are found, and a bit that is flipped in any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.base import RecommendQuery, SearchQuery
from models.weights import CHUNK, Weights

if TYPE_CHECKING:
    from models.recommend.model import Recommender
    from models.search.model import HybridSearch


@dataclass(frozen=True, slots=True)
class Slotted:
    array: np.ndarray[Any, Any]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)


class Whole:
    """A model with an array in every place where one may be, two of them twice, and one that it writes to."""

    scratch = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = np.zeros(9, np.float32)
        self.own = np.ones(5, np.float32)
        self.again = self.own
        self.view = self.own[::2]
        self.named = {"a": [Slotted(np.arange(4))], "b": ("text", 7, None)}
        self.bound = Slotted(np.full(6, 2.0)).array.sum
        self.method = self.compute
        self.closure = _made(np.full(7, 3.0, np.float16))
        self.partial = partial(_made, np.full(8, 4.0))
        self.tensor = torch.ones(10, dtype=torch.bfloat16)
        self.net = Net()
        self.me = self

    def compute(self) -> float:
        return float(self.own.sum())


def _made(array: np.ndarray[Any, Any]) -> Callable[[], float]:
    return lambda: float(array.sum())


def test_every_array_is_found_once_and_none_that_is_written_to() -> None:
    weights = Weights(Whole())
    found = {region.name: (region.size, region.floats) for region in weights.regions}
    assert sorted(found.values()) == sorted(
        [(20, 4), (32, 0), (14, 2), (64, 8), (20, 2), (24, 4), (8, 4)],
    ), found
    assert "Whole.tensor" in found


@pytest.mark.parametrize("make", ["float16", "float32", "float64"])
@given(st.integers(0, 2**31), st.integers(1, 3 * CHUNK // 8))
def test_any_flipped_bit_is_found_and_gone_when_it_is_flipped_back(make: str, seed: int, size: int) -> None:
    model = Slotted(np.ones(size, make))
    weights = Weights(model)
    assert weights.damage() == ""
    bit = weights.bit(seed)
    assert bit is not None
    bit.flip()
    assert (model.array != 1).sum() == 1, "one weight"
    assert not 0.1 < float(model.array[model.array != 1][0]) < 10, "and that by far"
    damage = weights.damage()
    assert damage.startswith("Slotted.array is not what was loaded, from its byte ")
    steps = [weights.damage(first, 1) for first in range(len(weights))]
    assert [step for step in steps if step] == [damage], "in one chunk only"
    bit.flip()
    assert weights.damage() == ""


@given(st.integers(0, 7), st.integers(0, 5_000))
def test_each_bit_of_each_byte_counts(bit: int, byte: int) -> None:
    memory = np.zeros(5_001, np.uint8)
    weights = Weights([memory])
    memory[byte] ^= 1 << bit
    assert weights.damage()


def test_a_bit_is_flipped_in_a_layer_that_onednn_has_packed() -> None:
    from models.kernels.linear import Linear

    layer = Linear(torch.randn(32, 16), None, torch.float32)
    weights = Weights(layer)
    before = layer(torch.ones(1, 16))
    bit = weights.bit(5)
    assert bit is not None
    bit.flip()
    assert weights.damage()
    assert not torch.equal(layer(torch.ones(1, 16)), before)
    bit.flip()
    assert torch.equal(layer(torch.ones(1, 16)), before)


def test_the_same_seed_chooses_the_same_bit() -> None:
    weights = Weights([np.ones(1000), np.ones(10, np.float32)])
    assert weights.bit(3) == weights.bit(3)
    assert len({(bit.region.name, bit.byte) for seed in range(50) if (bit := weights.bit(seed))}) > 40
    assert Weights([np.arange(9)]).bit(3) is None


def test_a_model_without_arrays_has_nothing_to_check() -> None:
    assert len(Weights(None)) == 0
    assert Weights("text").damage() == ""


def test_searching_leaves_the_weights_of_a_search_as_they_are(search_model: HybridSearch) -> None:
    weights = Weights(search_model)
    assert weights.size > 70_000_000, "the encoder's, the vectors and the words"
    names = " ".join(region.name for region in weights.regions)
    for part in ("backbone.words", "layers[5].down.weight", "ranking.vectors", "lexical.scores", "exact.hashes"):
        assert part in names
    search_model.predict([SearchQuery(f"heart {number}", 1 + number) for number in range(40)])
    assert weights.damage() == ""


def test_recommending_leaves_the_weights_of_a_recommender_as_they_are(recommend_model: Recommender) -> None:
    weights = Weights(recommend_model)
    names = " ".join(region.name for region in weights.regions)
    assert all(part in names for part in ("bag.table", "histories.items", "tie")), names
    recommend_model.predict([RecommendQuery(f"{17850 + number}", 1 + number) for number in range(40)])
    assert weights.damage() == ""


def test_a_process_without_torch_has_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert Weights([np.ones(3)]).size == 24
