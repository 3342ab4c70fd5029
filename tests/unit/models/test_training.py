"""From the command line to a trained model, and from a loaded model to forked workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models import registry
from models.base import Change, RecommendQuery, SearchQuery
from models.data.catalogue import Overlay
from models.loading import load
from models.training import ensure, train
from standfast.commands.data import catalogue, interactions
from standfast.commands.models import app
from standfast.core.errors import IntegrityError, StandfastError, UsageError

_RUN = CliRunner()


def _small_shop(folder: Path) -> tuple[Path, Path]:
    products, events = folder / "products.csv", folder / "events.csv"
    products.write_text("item_id,title\na,red lamp\nb,blue lamp\nc,tea cup\nd,coffee mug\n")
    rows = [f"u{n % 7},{'abcd'[n % 4]},{1700000000 + n * 60},purchase\n" for n in range(40)]
    events.write_text("user_id,item_id,timestamp,event\n" + "".join(rows))
    return products, events


def test_a_users_own_shop_is_loaded_trained_and_served(empty_home: Path, tmp_path: Path) -> None:
    products, events = _small_shop(tmp_path)
    loaded = _RUN.invoke(catalogue, ["load", str(products)])
    assert "4 products loaded" in loaded.stdout
    assert "standfast models train" in loaded.stderr
    assert "40 interactions loaded" in _RUN.invoke(interactions, ["load", str(events)]).stdout
    trained = _RUN.invoke(app, ["train", "recommend", "--json"])
    assert trained.exit_code == 0, trained.stderr
    assert [made["version"] for made in json.loads(trained.stdout)] == [1]
    titles = {item.title for item in load("recommend").predict([RecommendQuery("u1", 10, ("a",))])[0]}
    assert titles <= {"blue lamp", "tea cup", "coffee mug"}
    assert [made.label for made in ensure()] == ["search@1"], "what is there is not trained again"
    assert ensure() == []


def test_a_version_knows_up_to_where_the_topic_of_products_was_laid_over_its_file(
    empty_home: Path, tmp_path: Path
) -> None:
    products, _ = _small_shop(tmp_path)
    _RUN.invoke(catalogue, ["load", str(products)])
    changes = [Change("a", None), Change("e", "Grimblewick lamp", "Grimblewick lamp")]
    [made] = train(["search"], overlay=Overlay(changes, "0:7 1:2"))
    assert made.lineage["catalogue_offsets"] == "0:7 1:2"
    [found] = load("search").predict([SearchQuery("lamp", 10)])
    assert {item.item_id for item in found} == {"b", "c", "d", "e"}
    [without] = train(["search"])
    assert "catalogue_offsets" not in without.lineage


def test_versions_are_listed_shown_activated_rolled_back_and_verified(empty_home: Path, tmp_path: Path) -> None:
    products, _ = _small_shop(tmp_path)
    _RUN.invoke(catalogue, ["load", str(products)])
    for _ in range(2):
        train(["search"])
    rows = json.loads(_RUN.invoke(app, ["list", "--json"]).stdout)
    assert [(row["model"], row["version"], row["active"]) for row in rows] == [
        ("search", 1, False),
        ("search", 2, True),
    ]
    assert "search@1 is active" in _RUN.invoke(app, ["rollback", "search"]).stdout
    assert "search@2 is active" in _RUN.invoke(app, ["activate", "search@2"]).stdout
    shown = json.loads(_RUN.invoke(app, ["show", "search", "--json"]).stdout)
    assert shown["version"] == 2
    assert shown["lineage"]["encoder"] == "bundled"
    assert _RUN.invoke(app, ["verify"]).exit_code == 0
    path = registry.folder_of("search", 2) / "vectors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    wrong = _RUN.invoke(app, ["verify"])
    assert wrong.exit_code == 1
    assert "vectors.safetensors" in wrong.stdout
    with pytest.raises(IntegrityError, match=r"vectors\.safetensors"):
        load("search")


@pytest.mark.parametrize("arguments", [["train", "ads"], ["activate", "search"], ["show", "search@x"]])
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(empty_home: Path, arguments: list[str]) -> None:
    problem = _RUN.invoke(app, arguments).exception
    assert isinstance(problem, StandfastError)
    assert problem.exit_code == 2
    assert isinstance(problem, UsageError)


_FORKED = """
import os, sys, torch
torch.set_num_threads(1)
from models.base import RecommendQuery, SearchQuery
from models.loading import load
search, recommend = load("search", device="cpu"), load("recommend", device="cpu")
def answer():
    found = search.predict([SearchQuery("lunch bag", 5)]) + recommend.predict([RecommendQuery("17850", 5)])
    return "|".join(item.item_id for items in found for item in items)
pipes = []
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        search.warm_up(); recommend.warm_up()
        os.write(write, answer().encode()); os._exit(0)
    pipes.append(read)
children = []
for read in pipes:
    os.wait(); children.append(os.read(read, 10000).decode())
assert children == [answer()] * 2, children
imported = {"transformers", "bm25s", "scipy"} & set(sys.modules)
assert not imported, f"a start waits for {imported}: 11 s for transformers, 0.3 for the others"
"""


def test_loaded_models_answer_in_forked_children_as_in_their_parent(sample_home: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _FORKED], env=environment, timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
