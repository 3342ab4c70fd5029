"""Judgements: read with the line of each mistake, kept whole, and what search learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import pytest
import torch

from models.data import shop
from models.data.judgements import Judgements, read_judgements
from models.encoder.model import Encoder
from models.search.lexical import build_lexical, load_lexical
from models.search.model import SearchConfig
from models.search.tuning import LEXICAL_WEIGHT, learnt_weight
from models.training import train
from standfast.core.errors import DataError

_COUNT = 30


def _files(folder: Path, qrels: str, queries: str) -> tuple[Path, Path]:
    (folder / "qrels.txt").write_text(qrels)
    (folder / "queries.tsv").write_text(queries)
    return folder / "qrels.txt", folder / "queries.tsv"


def test_wanted_products_are_those_of_a_grade_above_zero(tmp_path: Path) -> None:
    qrels = "q1 0 a 2\nq1 0 b 0\nq2 0 b 1\n\nq1 0 c 1\n"
    judgements, skipped = read_judgements(*_files(tmp_path, qrels, "q1\tred  lamp\nq2\tcup\nq3\tunjudged\n"))
    assert judgements == Judgements(["red lamp", "cup"], [["a", "c"], ["b"]])
    assert len(judgements) == 3
    assert skipped.lines() == [
        "1 not counted: a grade of 0, for a product that is not wanted (first: line 2, value '0')"
    ]


@pytest.mark.parametrize(
    ("qrels", "queries", "message"),
    [
        ("q1 0 a\n", "q1\tlamp\n", r"qrels.txt, line 1, value 'q1 0 a': not `query_id 0 item_id grade`"),
        ("q1 0 a high\n", "q1\tlamp\n", r"line 1, value 'q1 0 a high'"),
        ("q9 0 a 1\n", "q1\tlamp\n", r"line 1, value 'q9': a query_id that is not in .*queries.tsv"),
        ("q1 0 a 1\n", "q1 lamp\n", r"queries.tsv, line 1, value 'q1 lamp': not `query_id<TAB>query`"),
        ("q1 0 a 0\n", "q1\tlamp\n", r"holds no judgements that count"),
        ("", "q1\tlamp\n", r"qrels.txt holds no judgements"),
        ("q1 0 nowhere 1\n", "q1\tlamp\n", r"none of 1 judgements is about a product of the catalogue"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line_and_what_was_in_use_stays(
    empty_home: Path, tmp_path: Path, qrels: str, queries: str, message: str
) -> None:
    shop.import_judgements(*_files(tmp_path, "q1 0 22423 1\n", "q1\tcakestand\n"))
    with pytest.raises(DataError, match=message):
        shop.import_judgements(*_files(tmp_path, qrels, queries))
    assert shop.load_judgements() == Judgements(["cakestand"], [["22423"]])


def test_a_damaged_file_says_how_to_mend_it(empty_home: Path) -> None:
    assert shop.load_judgements() is None
    shop._judgements_path().write_text("{")
    with pytest.raises(DataError, match="load the judgements again with `standfast judgements load`"):
        shop.load_judgements()


class _OneHot:
    """An encoder for which query number n means document number n + `shift`."""

    def __init__(self, shift: int) -> None:
        self._shift = shift

    def encode(self, texts: list[str]) -> torch.Tensor:
        numbers = torch.tensor([int(text.removeprefix("word")) for text in texts])
        return torch.eye(_COUNT)[(numbers + self._shift) % _COUNT]


@pytest.mark.parametrize("words_are_right", [True, False])
def test_what_is_right_more_often_weighs_more(tmp_path: Path, *, words_are_right: bool) -> None:
    """At equal weights meaning wins here: no product has a word so often that its share is 1."""
    texts = [f"word{number} and other words" for number in range(_COUNT)]
    ids = [f"p{number}" for number in range(_COUNT)]
    build_lexical(texts, tmp_path)
    wanted = [[f"p{number if words_are_right else (number + 1) % _COUNT}"] for number in range(_COUNT)]
    judgements = Judgements([f"word{number}" for number in range(_COUNT)], wanted)
    encoder = cast("Encoder", _OneHot(1))
    weight, measured = learnt_weight(judgements, ids, load_lexical(tmp_path, _COUNT), torch.eye(_COUNT), encoder)
    assert (weight > LEXICAL_WEIGHT) is words_are_right
    assert measured["judged_ndcg_10"] == pytest.approx(1)
    assert measured["judged_queries"] == _COUNT
    few = Judgements(judgements.queries[:19], judgements.wanted[:19])
    weight, measured = learnt_weight(few, ids, load_lexical(tmp_path, _COUNT), torch.eye(_COUNT), encoder)
    assert weight == LEXICAL_WEIGHT
    assert measured.keys() == {"judged_queries", "judged_ndcg_10_untuned"}


def test_training_learns_from_the_judgements_in_use_and_says_what_it_measured(sample_copy: Path) -> None:
    judged = Path(__file__).parents[2] / "judged"
    imported = shop.import_judgements(judged / "qrels.txt", judged / "queries.tsv")
    assert imported.matched == imported.rows > 800
    [manifest] = train(["search"])
    assert manifest.metrics["judged_queries"] == 60
    assert manifest.metrics["judged_ndcg_10"] > 0.7
    config = msgspec.json.decode((sample_copy / "models/search/1/search.json").read_bytes(), type=SearchConfig)
    assert config.lexical_weight == manifest.metrics["lexical_weight"]
    assert manifest.lineage["lexical_weight"] == str(config.lexical_weight)


@pytest.fixture
def sample_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, with the cache of vectors that other tests have filled."""
    monkeypatch.setenv("STANDFAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
