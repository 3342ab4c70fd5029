"""Product search: BM25 for what was typed, vectors for what was meant, one score.

    score = w * bm25 / best bm25 of this query + (1 - w) * cosine

w was chosen on SciFact's training queries: nDCG@10 0.7278 there, and 0.732 on its test queries (BM25 alone
0.668, vectors alone 0.648). A query that shares no word with any product is ranked by vectors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.base import Scored, SearchQuery
from models.catalogue import Catalogue
from models.encoder import Encoder, load_encoder
from models.lexical import Lexical, build_lexical, load_lexical
from standfast.errors import IntegrityError

LEXICAL_WEIGHT = 0.35
_CONFIG, _VECTORS, _LEXICAL = "search.json", "vectors.safetensors", "lexical"


class SearchConfig(msgspec.Struct, frozen=True):
    """What is kept beside the arrays."""

    item_ids: list[str]
    titles: list[str]
    encoder: str
    encoder_digest: str
    lexical_weight: float = LEXICAL_WEIGHT


class HybridSearch:
    """A loaded search model; see `models.base.Model`."""

    def __init__(self, label: str, config: SearchConfig, lexical: Lexical, vectors: Tensor, encoder: Encoder) -> None:
        self._label, self._config = label, config
        self._lexical, self._vectors, self._encoder = lexical, vectors, encoder

    @property
    def label(self) -> str:
        """`search@<version>`."""
        return self._label

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Scored]]:
        """One list for each query, best first; every product is scored, none is pruned."""
        if not queries:
            return []
        texts = [query.query for query in queries]
        with torch.inference_mode():
            scores = self._scores(texts)
            count = min(max(query.k for query in queries), scores.shape[1])
            values, places = scores.topk(max(count, 0), dim=1)
        answers = zip(queries, values.tolist(), places.tolist(), strict=True)
        return [self._answer(v, p, query.k) for query, v, p in answers]

    def warm_up(self) -> None:
        """One search of each batch size a worker meets."""
        for count in (1, 8):
            self.predict([SearchQuery("white hanging heart", 10)] * count)

    def _scores(self, texts: Sequence[str]) -> Tensor:
        weight = self._config.lexical_weight
        shared = torch.from_numpy(self._lexical.scores(texts)).to(self._vectors.device)
        shared /= shared.amax(dim=1, keepdim=True).clamp_(min=1e-6)
        return torch.addmm(shared, self._encoder.encode(texts), self._vectors.T, beta=weight, alpha=1 - weight)

    def _answer(self, values: Sequence[float], places: Sequence[int], k: int) -> list[Scored]:
        ids, titles = self._config.item_ids, self._config.titles
        return [Scored(ids[p], v, titles[p]) for v, p in zip(values[:k], places[:k], strict=True)]


def build_search(catalogue: Catalogue, vectors: Tensor, encoder: Encoder, folder: Path) -> None:
    """Writes a search model's files; `vectors` are [len(catalogue), width], in the catalogue's order."""
    build_lexical([_words(*row) for row in zip(catalogue.item_ids, catalogue.texts, strict=True)], folder / _LEXICAL)
    save_file({"vectors": vectors.cpu().contiguous()}, folder / _VECTORS)
    config = SearchConfig(catalogue.item_ids, catalogue.titles, encoder.name, encoder.digest)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(config))


def load_search(folder: Path, label: str, device: str = "auto") -> HybridSearch:
    """The model in `folder`, whose files the caller has verified; runs no inference.

    Raises IntegrityError when the encoder here is not the one its vectors were made with.
    """
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=SearchConfig)
    encoder = load_encoder(config.encoder, device)
    if encoder.digest != config.encoder_digest:
        raise IntegrityError(
            f"{label} was built with encoder {config.encoder} {config.encoder_digest[:12]}…, here it is "
            f"{encoder.digest[:12]}…; run `standfast models train search`"
        )
    vectors = load_file(folder / _VECTORS)["vectors"].to(encoder.device, copy=True)
    return HybridSearch(label, config, load_lexical(folder / _LEXICAL, len(config.item_ids)), vectors, encoder)


def _words(item_id: str, text: str) -> str:
    """A product's words, and its code where it is one word, so that a typed code finds its product."""
    return f"{text} {item_id}" if item_id.isalnum() else text
