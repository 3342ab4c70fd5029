"""bfloat16 loses no search quality: on the sample shop in every run, on SciFact's documents with -m slow."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from models.data.catalogue import Catalogue
from models.encoder.model import Encoder, load_encoder
from models.encoder.precision import MOST_LOST, lost_ndcg
from models.evaluation.metrics import ndcg
from models.kernels.linear import Linear
from models.manifests import Manifest
from models.search import training
from models.search.lexical import build_lexical, load_lexical
from models.search.model import LEXICAL_WEIGHT, HybridSearch, SearchConfig
from models.training import train
from tests.fixtures_models import shared_data


@pytest.fixture(scope="module")
def exact() -> Encoder:
    return load_encoder("bundled", "cpu", exact=True)


def _with_bits(bits: int, patch: pytest.MonkeyPatch) -> Encoder:
    """The encoder with `bits` bits in the fraction of each weight; bfloat16 has 7."""
    plain = Linear.__init__

    def coarse(layer: Linear, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        fraction, exponent = weight.frexp()
        plain(layer, (fraction * 2 ** (bits + 1)).round().ldexp(exponent - bits - 1), bias, dtype)

    with patch.context() as inside:
        inside.setattr(Linear, "__init__", coarse)
        return load_encoder("bundled", "cpu", exact=True)


@pytest.fixture
def shop(trained_shop: Path, search_model: HybridSearch) -> tuple[list[str], torch.Tensor]:
    """Titles and vectors of the sample shop."""
    stored = load_file(trained_shop / "models" / "search" / "1" / "vectors.safetensors")
    return search_model._config.titles, stored["vectors"].float()


def test_bfloat16_finds_the_shops_products_as_well_as_float32(
    shop: tuple[list[str], torch.Tensor], exact: Encoder
) -> None:
    assert abs(lost_ndcg(*shop, exact, load_encoder("bundled", "cpu"))) <= MOST_LOST


def test_the_gate_notices_an_encoder_that_is_too_coarse(
    shop: tuple[list[str], torch.Tensor], exact: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lost_ndcg(*shop, exact, _with_bits(0, monkeypatch)) > MOST_LOST


@pytest.mark.parametrize(("lost", "in_float32"), [(0.0019, False), (0.0021, True)])
def test_a_model_that_loses_too_much_is_published_to_serve_in_float32(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch, lost: float, in_float32: bool
) -> None:
    monkeypatch.setattr(training, "lost_ndcg", lambda *_: lost)
    train(["search"], Catalogue(["a", "b"], ["red lamp", "tea cup"], ["red lamp", "tea cup"], ""))
    folder = empty_home / "models" / "search" / "1"
    assert msgspec.json.decode((folder / "search.json").read_bytes(), type=SearchConfig).exact is in_float32
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.metrics["precision_lost_ndcg_10"] == lost


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_bfloat16_ranks_scifacts_documents_as_well_as_float32(exact: Encoder, tmp_path: Path) -> None:
    folder = shared_data("scifact-beir")
    rows = [json.loads(line) for line in gzip.decompress((folder / "corpus.jsonl.gz").read_bytes()).splitlines()]
    queries = {
        row["_id"]: row["text"]
        for row in map(json.loads, gzip.decompress((folder / "queries.jsonl.gz").read_bytes()).splitlines())
    }
    texts = [f"{row['title']} {row['text']}" for row in rows]
    row_of = {row["_id"]: number for number, row in enumerate(rows)}
    wanted: dict[str, set[int]] = {}
    for line in (folder / "qrels-test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            wanted.setdefault(query, set()).add(row_of[document])
    texts_asked = [queries[query] for query in wanted]
    build_lexical(texts, tmp_path)
    index = load_lexical(tmp_path, len(texts))
    lexical = torch.from_numpy(index.scores([*map(index.read, texts_asked)]))
    lexical /= lexical.amax(dim=1, keepdim=True).clamp(min=1e-6)
    vectors = exact.encode(texts)
    quality = {}
    for name, encoder in (("fp32", exact), ("bf16", load_encoder("bundled", "cpu"))):
        scores = LEXICAL_WEIGHT * lexical + (1 - LEXICAL_WEIGHT) * encoder.encode(texts_asked) @ vectors.T
        ranked = scores.topk(10, dim=1).indices.tolist()
        quality[name] = sum(map(ndcg, ranked, wanted.values())) / len(wanted)
    assert quality["fp32"] > 0.72, quality
    assert quality["bf16"] > quality["fp32"] - MOST_LOST, quality
