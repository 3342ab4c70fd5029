"""Each recommender of the table on small data, how training chooses among them, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models import registry
from models.evaluation.intervals import interval
from models.evaluation.splits import SPLITS, split
from models.kernels.ragged import Ragged
from models.recommend.algorithms.factors import fold_in
from models.recommend.model import load_recommender
from models.recommend.table import BASELINES, TABLE
from models.recommend.training import choose, prepared
from models.training import NoProgress, Recommending
from standfast.commands.models import app
from standfast.core.errors import ModelError, UsageError
from tests.support.small_shops import catalogue_of, data_of, events_of, two_tastes, walks


@pytest.mark.parametrize("name", [name for name in TABLE if name not in {*BASELINES, "content", "succession"}])
def test_a_recommender_tells_two_tastes_apart(name: str) -> None:
    data, recipe = data_of(two_tastes()), TABLE[name]
    constants = {**recipe.start, **({"regularisation": 1.0} if name == "ials" else {})}
    scorer = recipe.scorer(recipe.fit(data, constants), constants, data.items)
    scores = scorer.scores(Ragged.of([[0, 1, 2], [10, 11, 12], []]))
    assert scores.shape == (3, 20)
    assert scores[0, 3:10].mean() > scores[0, 10:].max()
    assert scores[1, 13:].mean() > scores[1, :10].max()


@pytest.mark.parametrize("name", list(TABLE))
def test_a_history_gets_the_same_scores_alone_and_in_a_batch(name: str) -> None:
    data, recipe = data_of(two_tastes()), TABLE[name]
    scorer = recipe.scorer(recipe.fit(data, recipe.start), recipe.start, data.items)
    together = scorer.scores(Ragged.of([[3, 1], [], [12, 15, 11, 4]]))
    alone = torch.cat([scorer.scores(Ragged.of([row])) for row in ([3, 1], [], [12, 15, 11, 4])])
    assert torch.allclose(together, alone, atol=2e-2 if name == "content" else 1e-4)
    assert torch.isfinite(together).all()


def test_matrix_factorisation_of_the_three_by_three_example() -> None:
    """R = U Vᵀ: with V known and every product weighed alike, the least squares row of U gives the row of R again."""
    users, products = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    ratings = users @ products.T
    assert ratings.tolist() == [[1, 0, 1], [0, 1, 1], [1, 1, 2]]
    history = Ragged.of([[0, 2], [2, 1], [0, 1, 2]])
    weights = torch.tensor([1e6, 1e6, 1e6, 1e6, 1.0, 1.0, 1.0])
    rows = fold_in(products, products.T @ products, history, weights, 1e-9)
    assert torch.allclose(rows[:2] @ products.T, ratings[:2], atol=1e-3)
    assert torch.allclose(rows[2] @ products.T, torch.tensor([2 / 3, 2 / 3, 4 / 3]), atol=1e-4)


def test_a_chain_of_products_is_predicted_from_the_last_one_alone() -> None:
    data, recipe = data_of(walks()), TABLE["markov"]
    scores = recipe.scorer(recipe.fit(data, {}), {}, data.items).scores(Ragged.of([[5, 4, 3], [29, 28]]))
    assert scores.argmax(dim=1).tolist() == [6, 0]


def test_training_chooses_the_chain_where_products_follow_each_other_and_says_why() -> None:
    events = walks()
    ready = prepared(catalogue_of(30), torch.zeros(30, 0), events)
    chosen, choice = choose(ready, Recommending(quick=True, split="one"), NoProgress())
    assert {part.recommender for part in chosen.parts} <= {"markov", "succession"}
    rows = {row.recommender: row for row in choice.validation}
    assert rows["markov"].ndcg_10 is not None
    assert rows["content"].ndcg_10 is None
    assert rows["content"].note == "there are no texts"
    assert "first start" in rows["ials"].note
    assert choice.test["ndcg_10"] > 2 * choice.test["popularity_ndcg_10"]


def test_a_recommender_that_loses_to_a_baseline_is_refused_unless_forced() -> None:
    ready = prepared(catalogue_of(30), torch.zeros(30, 0), walks())
    wish = Recommending(model="popularity", split="one")
    chosen, choice = choose(ready, wish, NoProgress())
    assert ([part.recommender for part in chosen.parts], choice.refused) == (["markov"], "popularity")
    assert choice.test["ndcg_10"] == choice.test["markov_ndcg_10"]
    forced, choice = choose(ready, replace(wish, force=True), NoProgress())
    assert ([part.recommender for part in forced.parts], choice.refused) == (["popularity"], "")


def test_one_that_cannot_be_trained_of_this_size_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.recommend.algorithms.ease._MOST_ITEMS", 10)
    ready = prepared(catalogue_of(20), torch.zeros(20, 0), two_tastes())
    with pytest.raises(ModelError, match="ease cannot be trained from this shop: 20 products would take"):
        choose(ready, Recommending(model="ease"), NoProgress())
    chosen, choice = choose(ready, Recommending(quick=True), NoProgress())
    assert "ease" not in {part.recommender for part in chosen.parts}
    assert any(row.recommender == "ease" and "up to 10" in row.note for row in choice.validation)


def test_the_same_seed_chooses_the_same() -> None:
    ready = prepared(catalogue_of(20), torch.zeros(20, 0), two_tastes())
    first, second = (choose(ready, Recommending(quick=True), NoProgress())[0] for _ in range(2))
    assert first.parts == second.parts


@pytest.mark.parametrize("name", list(SPLITS))
def test_a_split_hides_what_it_asks_for(name: str) -> None:
    events = two_tastes()
    parts = split(events, name, seed=3)  # type: ignore[arg-type]
    again = split(events, name, seed=3)  # type: ignore[arg-type]
    assert all((parts.after[kind] == again.after[kind]).all() for kind in parts.after)
    known = set(zip(parts.train(events).user.tolist(), parts.train(events).item.tolist(), strict=True))
    for asked in parts.tests(events).values():
        pairs = set(zip(asked.user.tolist(), asked.item.tolist(), strict=True))
        assert pairs
        assert not pairs & known


def test_leave_one_out_asks_for_the_last_product_in_the_order_of_the_file() -> None:
    """Of events at the same time the last in the file is the last."""
    events = events_of([(0, 3), (0, 1), (1, 2), (0, 0), (1, 1), (1, 0)], 4, 2)
    events.at[:] = events.at[0]
    asked = split(events, "one").tests(events)["next"]
    assert list(zip(asked.user.tolist(), asked.item.tolist(), strict=True)) == [(0, 0), (1, 0)]


def test_an_interval_holds_the_mean_and_shrinks_with_users() -> None:
    draw = np.random.default_rng(0)
    few, many = (interval(draw.random(count)) for count in (100, 10_000))
    assert few[0] < 0.5 < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 5


def test_a_model_of_another_release_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "recommend.json").write_text('{"item_ids": ["a"], "titles": ["A"], "parameters": {"latest": 15}}')
    with pytest.raises(ModelError, match=r"recommend@7 .*another release.*run `standfast models train recommend`"):
        load_recommender(tmp_path, "recommend@7", "cpu")


@pytest.mark.parametrize(
    "arguments", [["train", "--model", "magic"], ["train", "--split", "even"], ["evaluate", "search"]]
)
def test_an_unknown_recommender_or_split_is_wrong_usage(empty_home: Path, arguments: list[str]) -> None:
    problem = CliRunner().invoke(app, arguments).exception
    assert isinstance(problem, UsageError)


def test_a_refused_recommender_leaves_the_baseline_serving_and_exit_code_1(empty_home: Path, tmp_path: Path) -> None:
    from standfast.commands.data import catalogue, interactions

    events = walks()
    rows = zip(events.user.tolist(), events.item.tolist(), events.at.tolist(), strict=True)
    (tmp_path / "p.csv").write_text("item_id,title\n" + "".join(f"i{n},thing {n}\n" for n in range(30)))
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u{u},i{i},{at}\n" for u, i, at in rows))
    run = CliRunner()
    run.invoke(catalogue, ["load", str(tmp_path / "p.csv")])
    run.invoke(interactions, ["load", str(tmp_path / "e.csv")])
    trained = run.invoke(app, ["train", "recommend", "--model", "popularity", "--split", "one"])
    assert trained.exit_code == 1
    assert "popularity was refused: markov is better" in trained.stderr
    assert registry.manifest_of("recommend", 1).lineage["serves"] == "markov"
    measured = run.invoke(app, ["evaluate", "--split", "one", "--model", "markov"])
    assert measured.exit_code == 0, measured.stderr
    assert "markov" in measured.stdout.splitlines()[-1]
