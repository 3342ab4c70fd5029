"""Search in an inverted file: the exact ranking, except for the recall lost that training has measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from models import registry
from models.base import SearchQuery
from models.data.catalogue import Catalogue
from models.data.shop import load_catalogue
from models.encoder.model import Encoder
from models.search.inverted_file import build_inverted_file, inner_products
from models.search.model import HybridSearch, build_search, load_search
from models.training import train
from schemas.records import Item
from standfast.core.errors import ModelError

_ITEMS = 3747


@pytest.fixture(scope="module")
def inverted_folder(trained_shop: Path, search_model: HybridSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample shop's search as an inverted file."""
    folder = tmp_path_factory.mktemp("cells")
    vectors = load_file(trained_shop / "models" / "search" / "1" / "vectors.safetensors")["vectors"]
    metrics = build_search(load_catalogue(), vectors, search_model._encoder, folder, exact_up_to=1000)
    assert metrics["cells"] == 244
    assert metrics["probes"] <= 244 / 2
    assert 0.95 <= metrics["recall_10_vectors_alone"] <= metrics["recall_10"] <= 1
    return folder


@pytest.fixture(scope="module")
def inverted_model(inverted_folder: Path) -> HybridSearch:
    return load_search(inverted_folder, "search@2", "cpu")


def _best(model: HybridSearch, query: str, k: int = 10) -> list[Item]:
    return model.predict([SearchQuery(query, k)])[0]


def test_a_typed_product_code_or_title_is_found(inverted_model: HybridSearch) -> None:
    assert _best(inverted_model, "85123a", 1)[0].item_id == "85123A"
    catalogue = load_catalogue()
    for item_id, title in list(zip(catalogue.item_ids, catalogue.titles, strict=True))[::100]:
        assert _best(inverted_model, f"{title} {item_id}", 1)[0].item_id == item_id


@settings(max_examples=30)
@given(text=st.text(max_size=30) | st.sampled_from(["", "the", "timepiece", "bag", "red spotty cup", "☃"]))
def test_every_answer_has_the_score_it_has_in_the_ranking_of_all(
    search_model: HybridSearch, inverted_model: HybridSearch, text: str
) -> None:
    every = {item.item_id: item.score for item in _best(search_model, text, _ITEMS)}
    items = _best(inverted_model, text, 20)
    assert len({item.item_id for item in items}) == 20
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    assert [item.score for item in items] == pytest.approx([every[item.item_id] for item in items], abs=1e-4)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 5000)), max_size=4))
def test_any_texts_and_sizes_are_answered_with_k_products_or_all(
    inverted_model: HybridSearch, queries: list[tuple[str, int]]
) -> None:
    answers = inverted_model.predict([SearchQuery(text, k) for text, k in queries])
    assert [len({item.item_id for item in answer}) for answer in answers] == [min(k, _ITEMS) for _, k in queries]


def test_more_products_than_there_are_reads_all_cells(search_model: HybridSearch, inverted_model: HybridSearch) -> None:
    every, inverted = (_best(model, "lunch bag", 10_000) for model in (search_model, inverted_model))
    assert [item.score for item in inverted] == pytest.approx([item.score for item in every], abs=1e-4)


def test_a_live_model_does_not_change_with_its_files(inverted_folder: Path, inverted_model: HybridSearch) -> None:
    before, file = _best(inverted_model, "christmas decoration"), inverted_folder / "vectors.safetensors"
    kept = file.read_bytes()
    with file.open("r+b") as open_file:
        open_file.seek(len(kept) // 2)
        open_file.write(bytes(len(kept) // 2))
    again = _best(inverted_model, "christmas decoration")
    file.write_bytes(kept)
    assert again == before


def test_an_index_that_finds_too_little_is_refused(search_model: HybridSearch, tmp_path: Path) -> None:
    """Random vectors have no clusters: half of the cells miss a third of the ten best."""
    vectors = F.normalize(torch.randn(3000, 384, generator=torch.Generator().manual_seed(1)), dim=1)
    names = [f"word{number}" for number in range(3000)]
    with pytest.raises(ModelError, match=r"finds 0\.\d+ of the ten best .* set search.exact_up_to to 3000"):
        build_search(Catalogue(names, names, names, ""), vectors, search_model._encoder, tmp_path, exact_up_to=1000)


def test_the_manifest_says_what_was_measured_and_covers_the_index(empty_home: Path) -> None:
    titles = ["red lamp", "blue lamp", "tea cup", "coffee mug", "☃"]
    shop = Catalogue([f"p{number}" for number in range(5)], titles, titles, "")
    manifest = train(["search"], shop, exact_up_to=4)[0]
    assert manifest.metrics["recall_10"] == 1
    file = registry.folder_of("search", 1) / "vectors.safetensors"
    arrays = load_file(file)
    assert set(arrays) == {"vectors", "centres", "ends"}
    save_file({**arrays, "ends": arrays["ends"].flip(0)}, file)
    assert "vectors.safetensors" in registry.verify("search", 1)[0]
    assert train(["search"], shop, exact_up_to=5)[0].metrics.keys().isdisjoint({"recall_10", "cells"})


def test_cells_hold_every_product_once_and_are_the_same_each_time() -> None:
    vectors = F.normalize(torch.randn(500, 16, generator=torch.Generator().manual_seed(2)), dim=1)
    (inverted_file, order), (again, same) = build_inverted_file(vectors), build_inverted_file(vectors)
    assert torch.equal(order, same)
    assert torch.equal(inverted_file.centres, again.centres)
    assert sorted(order.tolist()) == list(range(500))
    assert int(inverted_file.ends[-1]) == 500
    vectors, query = vectors[order], vectors[0]
    for probes, least in [(1, 1), (3, 400), (1, 10_000)]:
        read = inverted_file.nearest(query, probes, least)
        products, indices = inner_products(query, vectors, read)
        assert len(set(indices.tolist())) == len(indices) >= min(least, 500)
        assert torch.allclose(products, vectors[indices] @ query, atol=1e-5)


@pytest.mark.parametrize("cached", [0, 1 << 20])
def test_the_ten_best_of_all_are_those_of_float32(
    search_model: HybridSearch, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With scores row by row (`_CACHED` = 0), as for a large catalogue, and for all rows of a batch at once."""
    monkeypatch.setattr("models.search.ranking._CACHED", cached)
    encoder: Encoder = search_model._encoder
    ranking, texts = search_model._ranking, [f"{title} case" for title in load_catalogue().titles[::40]]
    queries, vectors = encoder.encode(texts), ranking.vectors.float()
    readings = [ranking.read(text) for text in texts]
    shares = torch.from_numpy(ranking.lexical.scores(readings))
    wanted = (0.5 * queries @ vectors.T + 0.5 * shares).topk(10, dim=1).values
    assert torch.allclose(torch.tensor(ranking.best(readings, queries, 10)[0]), wanted, atol=1e-5)


_GROWTH = """
import os, sys
from pathlib import Path
from models.base import SearchQuery
from models.search.model import load_search
def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
model = load_search(Path(sys.argv[1]), "search@1", "cpu")
queries = [SearchQuery(f"lunch bag {number}", 10) for number in range(33)]
model.predict(queries)
before = anonymous()
for count in range(1, 33):
    model.predict(queries[:count])
    model.predict([SearchQuery("lunch bag " * count, 10)])
print(len(os.listdir("/proc/self/task")), (anonymous() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="measures memory as Linux tells it")
@pytest.mark.parametrize("kind", ["all", "cells"])
def test_a_loaded_search_meets_no_batch_that_costs_it_memory_and_has_started_no_thread(
    kind: str, inverted_folder: Path, trained_shop: Path
) -> None:
    """A oneDNN kernel is 0.8 MB: without padding, batches of up to 32 would take 25 MB in each worker."""
    folder = inverted_folder if kind == "cells" else trained_shop / "models" / "search" / "1"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH, str(folder)], env=one_thread, capture_output=True, text=True, check=True
    )
    threads, grown_mb = map(int, done.stdout.split())
    assert threads == 1
    assert grown_mb < 8
