"""The neural recommenders: what they may see, what they learn, that training repeats, and how they are served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Change, RecommendQuery
from models.data.interactions import Interactions
from models.kernels import linear
from models.kernels.ragged import Ragged
from models.recommend.algorithms.attention import ATTENTION, MixedMatrices
from models.recommend.algorithms.bert4rec import BERT4REC, MaskedTransformer
from models.recommend.algorithms.gru import GRU, RecurrentNetwork
from models.recommend.algorithms.sasrec import SASREC, CausalTransformer
from models.recommend.interface import Arrays, Constants, Recipe, TrainingData
from models.recommend.model import Recommender, load_recommender, save_recommender
from models.recommend.selection import Part, Selection
from models.recommend.sequences.fitting import held_back
from models.recommend.sequences.network import CausalNetwork, SequenceNetwork
from models.recommend.sequences.padded import Padded, Sequences, chunks, latest
from models.recommend.sequences.scorer import Build, NetworkScorer, network_scorer
from models.recommend.training import prepared
from models.training import NoProgress
from models.weights import Weights
from tests.support.small_shops import catalogue_of, data_of, events_of, two_tastes, walks

_CAUSAL: dict[str, type[CausalNetwork]] = {
    "gru": RecurrentNetwork,
    "sasrec": CausalTransformer,
    "attention": MixedMatrices,
}
_BUILDS: dict[str, Build] = {**_CAUSAL, "bert4rec": MaskedTransformer}
_RECIPES = {recipe.name: recipe for recipe in (GRU, SASREC, BERT4REC, ATTENTION)}
_HISTORIES = st.lists(st.lists(st.integers(0, 39), max_size=40, unique=True), min_size=1, max_size=12)


@pytest.fixture(autouse=True, scope="module")
def _quick_and_exact() -> Iterator[None]:
    """In float32: bfloat16, which workers use where it is faster, differs in the third digit between two batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(linear._allowed, "bf16", False)
        patch.setattr("models.recommend.sequences.fitting._MOST_EPOCHS", 30)
        yield


def _small(name: str) -> dict[str, float]:
    small = {"width": 16.0, "hidden": 16.0, "longest": 12.0, "window": 8.0, "dropout": 0.1}
    start = _RECIPES[name].start
    return {**start, **{key: value for key, value in small.items() if key in start}}


def _network(name: str, items: int = 40, seed: int = 0) -> SequenceNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _BUILDS[name](items, _small(name))
    return network.requires_grad_(requires_grad=False).eval()


def _scorer(name: str, items: int = 40, window: int = 16) -> NetworkScorer:
    network = _network(name)
    return NetworkScorer(network, network.logits, window, items)


def _padded(rows: list[list[int]]) -> Padded:
    """Oldest first."""
    width = max(map(len, rows))
    items = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return Padded(items, torch.tensor([len(row) for row in rows]))


@pytest.mark.parametrize("name", list(_CAUSAL))
def test_a_later_product_changes_no_earlier_state(name: str) -> None:
    network = _network(name)
    assert isinstance(network, CausalNetwork)
    before, after = (network.states(_padded([[3, 1, 4, *end]])) for end in ([15, 9, 2], [6, 5, 35]))
    assert before.shape == (1, 6, 16)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.isclose(before[:, 3:], after[:, 3:]).all(dim=-1).any(), "each later state knows of the change"


@pytest.mark.parametrize("name", list(_CAUSAL))
def test_training_asks_at_each_place_for_the_next_product_by_the_state_that_answers_in_serving(name: str) -> None:
    network = _network(name)
    rows = [[3, 1, 4, 15], [9, 2]]
    asked = network.asked(_padded(rows))
    assert asked.wanted.tolist() == [1, 4, 15, 2]
    known = [set(asked.known[asked.rows == question].tolist()) for question in range(4)]
    assert known == [{3}, {3, 1}, {3, 1, 4}, {9}]
    served = network.last(_padded([[3], [3, 1], [3, 1, 4], [9]]))
    assert torch.allclose(asked.states, served, atol=1e-5)


def test_the_gaps_that_bert4rec_fills_are_unseen_and_the_last_one_is_the_one_of_serving() -> None:
    network = _network("bert4rec")
    rows = [[3, 1, 4, 15], [9, 2]] * 200
    torch.manual_seed(1)
    asked = network.asked(_padded(rows))
    shown = [set(asked.known[asked.rows == question].tolist()) for question in range(len(asked.wanted))]
    assert all(int(wanted) not in known for wanted, known in zip(asked.wanted, shown, strict=True))
    for prefix, follows in (([3], 1), ([3, 1], 4), ([3, 1, 4], 15)):  # at times any prefix is asked what follows it
        served = network.last(Padded(torch.tensor([prefix + [0] * (5 - len(prefix))]), torch.tensor([len(prefix)])))
        alike = [row for row, known in enumerate(shown) if known == set(prefix)]
        wanted = [int(asked.wanted[row]) for row in alike if torch.allclose(asked.states[row], served[0], atol=1e-5)]
        assert wanted
        assert set(wanted) == {follows}
    assert {3, 15} in shown, "at times gaps are anywhere"


@settings(max_examples=40, deadline=None)
@given(_HISTORIES, st.integers(1, 20), st.sampled_from([8, 32, 128]))
def test_histories_are_padded_without_loss(histories: list[list[int]], window: int, places: int) -> None:
    history = Ragged.of(histories)
    lengths = np.minimum(history.lengths, window)
    found: dict[int, list[int]] = {}
    for rows, width in chunks(lengths, places):
        batch = latest(history, rows, window, width)
        assert batch.items.shape[1] == width
        assert len(batch.items) == 1 or batch.items.numel() <= places
        assert batch.items.shape[0].bit_count() == width.bit_count() == 1
        assert not batch.items[~batch.filled].any()
        for row, items, filled in zip(rows.tolist(), batch.items, batch.filled, strict=False):
            assert row not in found
            found[row] = items[filled].tolist()
    assert found == {row: items[:window][::-1] for row, items in enumerate(histories) if items}


@pytest.mark.parametrize("name", list(_BUILDS))
@settings(max_examples=15, deadline=None)
@given(histories=_HISTORIES)
def test_scores_of_a_history_depend_on_nothing_beside_it(name: str, histories: list[list[int]]) -> None:
    scorer = _scorer(name)
    together = scorer.scores(Ragged.of(histories))
    alone = torch.cat([scorer.scores(Ragged.of([history])) for history in histories])
    assert together.shape == (len(histories), 40)
    assert torch.allclose(together, alone, atol=1e-5)
    cut = scorer.scores(Ragged.of([history[:16] for history in histories]))
    assert torch.allclose(together, cut, atol=1e-5), "what is older than the window counts for nothing"


@pytest.mark.parametrize("name", list(_BUILDS))
def test_unknown_products_are_skipped_and_nothing_is_said_of_an_empty_history(name: str) -> None:
    scorer = _scorer(name, items=50)
    scores = scorer.scores(Ragged.of([[45, 3, 49, 1], [3, 1], [], [47]]))
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
    assert not scores[2:].any()
    assert not scores[:, 40:].any(), "products that nobody met"
    assert (scores[:2, :40] > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 12), st.integers(4, 64), st.integers(0, 99))
def test_an_epoch_has_every_step_once(counts: list[int], longest: int, places: int, seed: int) -> None:
    starts = np.cumsum(counts) - counts
    items = np.concatenate([np.arange(count) + 100 * user for user, count in enumerate(counts)]).astype(np.int64)
    sequences = Sequences(items, starts, np.array(counts, np.int64))
    found: Counter[tuple[int, int]] = Counter()
    for batch in sequences.batches(longest, places, np.random.default_rng(seed)):
        for row, length in zip(batch.items.tolist(), batch.lengths.tolist(), strict=True):
            assert 2 <= length <= longest + 1
            found.update(pairwise(row[:length]))
    steps = [(100 * user + at, 100 * user + at + 1) for user, count in enumerate(counts) for at in range(count - 1)]
    assert found == Counter(steps)
    assert sequences.steps == len(steps)


def test_the_last_products_of_some_users_are_held_back_and_not_trained_on() -> None:
    pairs = data_of(walks()).pairs()
    sequences, judge = held_back(pairs, 30)
    assert len(judge) == 45
    assert sorted(set(sequences.counts.tolist())) == [11, 12]
    for row, user in enumerate(judge.user.tolist()):
        items = pairs.of_user(user).tolist()
        assert judge.wanted.values[row] == items[-1]
        assert judge.scored.values[judge.scored.rows == row].tolist() == items[-2::-1]


def _noisy_walks() -> Interactions:
    """Customers go round a circle in an order that is not that of the numbers; one visit in six is somewhere else."""
    draw, items = np.random.default_rng(3), 60
    circle, rows = draw.permutation(items), []
    for user in range(120):
        at, met = int(draw.integers(items)), []
        for step in range(14):
            item = int(circle[(at + step) % items]) if draw.random() > 1 / 6 else int(draw.integers(items))
            met.append((user, item))
        rows += list(dict.fromkeys(met))
    return events_of(rows, items, 120)


@pytest.mark.parametrize("name", list(_RECIPES))
def test_a_chain_of_products_is_learnt_better_than_popularity(name: str) -> None:
    data, constants = data_of(_noisy_walks()), _small(name)
    recipe = _RECIPES[name]
    _, judge = held_back(data.pairs(), data.items)
    quality = judge.ndcg(judge.scores(recipe.scorer(recipe.fit(data, constants), constants, data.items))).mean()
    popular = torch.from_numpy(np.bincount(data.pairs().item, minlength=data.items)).float()
    baseline = judge.ndcg(popular.expand(len(judge), -1)).mean()
    assert quality > 1.5 * baseline, f"nDCG@10 {quality:.3f}, popularity {baseline:.3f}"


def test_a_larger_shop_learns_by_some_of_the_other_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.recommend.sequences.loss.ALL_UP_TO", 20)
    monkeypatch.setattr("models.recommend.sequences.loss._OTHERS", 15)
    data, constants = data_of(walks()), _small("gru")
    scores = GRU.scorer(GRU.fit(data, constants), constants, data.items).scores(Ragged.of([[5, 4, 3], [29, 28]]))
    assert scores.argmax(dim=1).tolist() == [6, 0]


@pytest.mark.parametrize("name", list(_RECIPES))
def test_the_same_seed_learns_the_same_and_leaves_the_generator_as_it_was(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.recommend.sequences.fitting._MOST_EPOCHS", 4)
    events, constants = two_tastes(30), _small(name)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (_RECIPES[name].fit(data_of(events), constants) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = _RECIPES[name].fit(data_of(events, seed=43), constants)
    assert not torch.equal(first["vectors.weight"], other["vectors.weight"])


def test_a_shop_in_which_nothing_follows_anything_is_fitted_too() -> None:
    for recipe in _RECIPES.values():
        data = data_of(events_of([(0, 1), (1, 2)], 3, 2))
        scores = recipe.scorer(recipe.fit(data, recipe.start), recipe.start, 3).scores(Ragged.of([[1], []]))
        assert torch.isfinite(scores).all()


def test_what_took_minutes_is_fitted_once_to_the_same_data() -> None:
    fits: list[Constants] = []

    def fit(data: TrainingData, constants: Constants) -> Arrays:
        fits.append(constants)
        return {}

    recipe = Recipe("counted", "", fit, SASREC.scorer, SASREC.ladders, kept=True)
    data = data_of(two_tastes(4))
    for window in (8.0, 16.0):
        data.fitted(recipe, {**recipe.start, "window": window})
    assert len(fits) == 1
    data.fitted(recipe, {**recipe.start, "dropout": 0.4})
    data_of(two_tastes(4)).fitted(recipe, recipe.start)
    assert len(fits) == 3


def test_training_tells_how_many_epochs_there_are_and_each_that_is_done() -> None:
    class Told(NoProgress):
        def __init__(self) -> None:
            self.phases: list[tuple[str, int | None]] = []
            self.steps = 0

        def phase(self, name: str, total: int | None = None) -> None:
            self.phases.append((name, total))

        def step(self, count: int) -> None:
            self.steps += count

    told = Told()
    GRU.fit(replace(data_of(two_tastes(20)), progress=told), _small("gru"))
    assert told.phases == [("training gru, at most 30 epochs", 30)]
    assert 1 <= told.steps <= 30


def test_too_large_a_shop_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of(two_tastes())
    assert SASREC.too_large(data) == ""
    monkeypatch.setattr("models.recommend.sequences.recipe._MOST_EVENTS", 100)
    assert "640 events would take some" in SASREC.too_large(data)
    monkeypatch.setattr("models.recommend.sequences.recipe._MOST_ITEMS", 19)
    assert "at most 19 products, and 20 have events" in GRU.too_large(data)


@pytest.mark.parametrize("name", list(_RECIPES))
def test_a_version_is_written_read_and_served_with_the_same_scores(name: str, tmp_path: Path) -> None:
    served, read = _served(name, tmp_path)
    queries = [RecommendQuery(f"u{n % 100}", 5, tuple(f"i{n + step}" for step in range(n % 7))) for n in range(70)]
    before, after = served.predict(queries), read.predict(queries)
    assert before == after
    assert all(len(answer) == read.least(query) for query, answer in zip(queries, after, strict=True))
    unknown = RecommendQuery("nobody", 5, ("gone", "i3", "never there"))
    assert read.predict([unknown]) == read.predict([RecommendQuery("nobody", 5, ("i3",))])
    empty = read.predict([RecommendQuery(None, 30)])[0]
    assert len(empty) == 30, "popular products come first where there is no history"
    best = read.predict([RecommendQuery("nobody", 1, ("i3",))])[0][0].item_id
    read.change(Change(best, None), b"")
    assert best not in {item.item_id for item in read.predict([RecommendQuery("nobody", 30, ("i3",))])[0]}


def test_serving_leaves_the_weights_as_they_are_and_finds_a_flipped_bit(tmp_path: Path) -> None:
    for name in _RECIPES:
        (tmp_path / name).mkdir()
        _, read = _served(name, tmp_path / name)
        weights = Weights(read)
        read.predict([RecommendQuery(f"u{n}", 3, ("i1",)) for n in range(30)])
        assert weights.damage() == ""
        bit = weights.bit(1)
        assert bit is not None
        bit.flip()
        assert weights.damage()
        bit.flip()


def _served(name: str, folder: Path) -> tuple[Recommender, Recommender]:
    ready = prepared(catalogue_of(30), torch.zeros(30, 0), walks())
    chosen = Selection([Part(name, 1.0, _small(name))], [])
    fitted = ready.fitted(chosen, ready.data(ready.events))
    save_recommender(fitted, folder)
    return fitted.model("recommend@1"), load_recommender(folder, "recommend@1", "cpu")


@pytest.mark.parametrize("name", list(_RECIPES))
def test_layers_packed_in_bfloat16_score_as_those_of_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, histories = dict(_network(name).state_dict()), Ragged.of([[5, 4, 3], [29, 28], [11], list(range(8))])
    exact = _scorer(name, window=8).scores(histories)
    packed = network_scorer(_BUILDS[name], arrays, _small(name), 40).scores(histories)
    assert torch.allclose(packed, exact, atol=1e-5)
    monkeypatch.setattr("models.recommend.sequences.scorer.serving_dtype", lambda _: torch.bfloat16)
    rounded = network_scorer(_BUILDS[name], arrays, _small(name), 40).scores(histories)
    farthest = (rounded - exact).abs().max(dim=1).values
    assert (farthest < exact.std(dim=1)).all(), "far less than what products differ by"


def test_kernels_are_made_without_changing_what_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(NetworkScorer, "make_kernels", lambda _: made.append(1))
    arrays = dict(_network("sasrec").state_dict())
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    network_scorer(_BUILDS["sasrec"], arrays, _small("sasrec"), 40)
    assert not made, "a process with threads is not forked"
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    network_scorer(_BUILDS["sasrec"], arrays, _small("sasrec"), 40)
    assert made
