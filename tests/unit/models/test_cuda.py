"""The CUDA code path without a CUDA device: attention kernel and graphs are replaced, and so is a lack of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor

from models.base import RecommendQuery, SearchQuery
from models.encoder import graphs
from models.encoder.graphs import GraphedBert
from models.encoder.model import Encoder, load_encoder
from models.kernels.failures import in_halves
from schemas.records import Item

if TYPE_CHECKING:
    from models.recommend.model import Recommender
    from models.search.model import HybridSearch

_TEXTS = ["lunch bag", "", "a", "white hanging heart t-light holder", "long " * 300, "lunch bag"]


def _kernel(query: Tensor, key: Tensor, value: Tensor, starts: Tensor, _: Tensor, *longest: int) -> Tensor:
    """Flash attention over packed texts, whose limits are `starts`; like it, leaves rows of no text undefined (NaN)."""
    attended = torch.full_like(query, torch.nan)
    assert starts.dtype is torch.int32
    for begin, end in zip(starts.tolist(), starts.tolist()[1:], strict=False):
        assert end - begin <= min(longest)
        parts = (part[begin:end].transpose(0, 1) for part in (query, key, value))
        attended[begin:end] = F.scaled_dot_product_attention(*parts).transpose(0, 1)
    return attended


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the CUDA kernel and graphs; has the size of each graph that was replayed."""
    seen: list[int] = []

    def capture_graph(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def replay() -> Tensor:
            pooled = compute()
            seen.append(2 * len(pooled))
            return pooled

        return replay

    monkeypatch.setattr(graphs, "varlen_attn", _kernel)
    monkeypatch.setattr(graphs, "capture_graph", capture_graph)
    return seen


@pytest.fixture(scope="module")
def exact() -> Encoder:
    return load_encoder("bundled", "cpu", exact=True)


def _on_cuda(exact: Encoder) -> Encoder:
    backbone = GraphedBert(exact._backbone)  # type: ignore[arg-type]
    backbone.make_kernels()
    return Encoder("graphed", "", backbone, exact._tokenizer, exact.device)


def test_graphs_give_every_text_its_vector_whatever_the_graph_computed_before(
    exact: Encoder, replays: list[int]
) -> None:
    encoder = _on_cuda(exact)
    for texts in (_TEXTS, _TEXTS[:1], _TEXTS[1:4], [_TEXTS[4]], _TEXTS[:4] * 9, _TEXTS[:1]):
        assert torch.allclose(encoder.encode(texts), exact.encode(texts), atol=1e-5)
    assert set(replays) == {8, 16, 32, 256}


def test_more_tokens_than_the_largest_graph_are_computed_without_one(exact: Encoder, replays: list[int]) -> None:
    backbone = _on_cuda(exact)._backbone
    texts = [list(range(1000, 1000 + 200))] * 11
    assert torch.allclose(backbone.pooled(texts), exact._backbone.pooled(texts), atol=1e-4)
    assert replays == []


def test_a_batch_too_large_for_the_device_is_answered_in_halves() -> None:
    sizes: list[int] = []

    def answer(queries: Sequence[int]) -> list[int]:
        sizes.append(len(queries))
        if len(queries) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [query * 10 for query in queries]

    assert in_halves(answer, range(11)) == [query * 10 for query in range(11)]
    assert sizes == [11, 5, 2, 3, 6, 3, 3]


def test_one_query_too_large_for_the_device_is_an_error() -> None:
    def answer(queries: Sequence[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_halves(answer, [1, 2])


class _Small:
    """Runs out of memory above `most` rows; counts how often."""

    def __init__(self, most: int, compute: Callable[..., Tensor]) -> None:
        self._most, self._compute = most, compute
        self.ran_out = 0

    def __call__(self, given: Any) -> Tensor:
        if len(getattr(given, "lengths", given)) > self._most:
            self.ran_out += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._compute(given)


def test_recommendations_survive_a_device_that_is_too_small(
    recommend_model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [RecommendQuery(user, 5) for user in ("17850", "12347", "nobody", None, "13047")]
    wanted = recommend_model.predict(queries)
    small = _Small(2, recommend_model._scorer.scores)
    monkeypatch.setattr(recommend_model._scorer, "scores", small)
    assert _ids(in_halves(recommend_model.predict, queries)) == _ids(wanted)
    assert small.ran_out, "the test limited what is not asked"


def test_searches_survive_a_device_that_is_too_small(
    search_model: HybridSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [SearchQuery(text, 5) for text in _TEXTS]
    wanted = _ids(search_model.predict(queries))
    encoder = search_model._encoder
    small = _Small(2, encoder.encode)
    monkeypatch.setattr(encoder, "encode", small)
    assert _ids(in_halves(search_model.predict, queries)) == wanted
    assert small.ran_out, "the test limited what is not asked"


def _ids(answers: Sequence[Sequence[Item]]) -> list[list[str]]:
    return [[item.item_id for item in answer] for answer in answers]
