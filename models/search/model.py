"""Product search: builds a model's files from a catalogue, and loads the model that answers from them.

`models.search.reading` reads the query, `models.search.ranking` computes the scores. BM25 and vectors weigh the same:
BM25 counts for as much as a product has of the query's words. A query that shares no word with any product is ranked by
vectors alone. A product whose code or title equals the query comes before all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.base import Change, SearchQuery
from models.data.catalogue import Catalogue
from models.data.judgements import Judgements
from models.data.text import plain
from models.encoder.model import Encoder, estimate_tokens, load_encoder
from models.kernels.linear import serving_dtype
from models.search.changes import Changes
from models.search.exact import ExactIndex, build_exact, load_exact
from models.search.inverted_file import PRECISION, InvertedFile, build_inverted_file
from models.search.languages import detected
from models.search.lexical import build_lexical, load_lexical
from models.search.ranking import Ranking
from models.search.recall import choose_probes
from models.search.tuning import LEXICAL_WEIGHT, learnt_weight
from schemas.records import Item
from standfast.core.errors import IntegrityError

EXACT_UP_TO = 200_000  # products; docs/adr/0006
_CPU = torch.device("cpu")
_CODE, _TITLE = 2.0, 1.5  # scores of products whose code or title equals the query; others have at most 1
_CONFIG, _VECTORS, _LEXICAL = "search.json", "vectors.safetensors", "lexical"


class SearchConfig(msgspec.Struct, frozen=True):
    """A model's `search.json`, beside its arrays.

    `exact`: the encoder serves in float32. `probes`: cells read for a query; 0 where all products are compared.
    `language`: the code of the index's language; "" for a model of a release that knew none.
    """

    item_ids: list[str]
    titles: list[str]
    encoder: str
    encoder_digest: str
    lexical_weight: float = LEXICAL_WEIGHT
    exact: bool = False
    probes: int = 0
    language: str = ""


class HybridSearch:
    """A loaded search model; see `models.base.Model`."""

    ignores_user = True

    def __init__(self, label: str, config: SearchConfig, ranking: Ranking, exact: ExactIndex, encoder: Encoder) -> None:
        self._label, self._config = label, config
        self._ranking, self._exact, self._encoder = ranking, exact, encoder
        self._changes: Changes | None = None

    @property
    def label(self) -> str:
        """`search@<version>`."""
        return self._label

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        """One list for each query, best first."""
        return self._answers(queries) if queries else []

    def cost(self, query: SearchQuery) -> int:
        """About how many tokens the encoder reads for the query."""
        return estimate_tokens(query.query)

    def least(self, query: SearchQuery) -> int:
        """Any product can be ranked, by its vector, so only a small catalogue has fewer than were asked for."""
        return min(query.k, len(self._config.item_ids) if self._changes is None else self._changes.least)

    def warm_up(self) -> None:
        """One search in a batch of 1 and one in a batch of 8."""
        for count in (1, 8):
            self.predict([SearchQuery("white hanging heart", 10)] * count)

    @property
    def vectors_of(self) -> str:
        """The encoder and its precision; see `models.base.Changeable`."""
        return f"{self._encoder.digest[:32]}{'-exact' if self._config.exact else ''}"

    def needs_vector(self, product: Change) -> bool:
        """Whether the product is there and not as it was at training; may be called by any thread."""
        return product.title is not None and not self._is_as_trained(product)

    def vector(self, text: str) -> bytes:
        """The encoder's vector of a product's text, float32."""
        with torch.inference_mode():
            vector: bytes = self._encoder.encode([text])[0].cpu().numpy().tobytes()
        return vector

    def change(self, product: Change, vector: bytes) -> None:
        """Finds a product as it is now, or not at all any more."""
        if product.title is None:
            self._changed().delete(product.item_id)
        elif self._is_as_trained(product):
            self.restore(product.item_id)
        else:
            read = torch.frombuffer(bytearray(vector), dtype=torch.float32)
            self._changed().put(product.item_id, product.title, product.text, read)

    def restore(self, item_id: str) -> None:
        """Finds a product as it was at training."""
        if self._changes is not None:
            self._changes.restore(item_id)

    def _is_as_trained(self, product: Change) -> bool:
        index = self._exact.index(product.item_id, self._config.item_ids)
        if index is None or self._config.titles[index] != product.title:
            return False
        return self._exact.has_text(index, product.text)

    def _changed(self) -> Changes:
        self._changes = self._changes or Changes(self._config.item_ids, self._ranking, self._exact)
        return self._changes

    def _answers(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        texts = [plain(query.query) for query in queries]
        ranking = self._changes or self._ranking
        readings = [ranking.read(text) for text in texts]
        with torch.inference_mode():
            max_k = max(query.k for query in queries)
            vectors = self._encoder.encode([reading.text for reading in readings])
            scores, indices = ranking.best(readings, vectors, max_k)
        rows = zip(queries, texts, scores, indices, strict=True)
        return [self._answer(self._exact_first(text, v, p), query.k) for query, text, v, p in rows]

    def _exact_first(self, text: str, scores: Sequence[float], indices: Sequence[int]) -> Iterable[tuple[float, int]]:
        """Scores and indices of products, those whose code or title equals `text` first."""
        exact = (self._changes or self._exact).find(text)
        if not exact:
            return zip(scores, indices, strict=True)
        code = text.casefold()
        exact_matches = [(_CODE if self._product(i)[0].casefold() == code else _TITLE, i) for i in exact]
        exact_indices = set(exact)
        others = ((score, index) for score, index in zip(scores, indices, strict=True) if index not in exact_indices)
        return chain(sorted(exact_matches, key=itemgetter(0), reverse=True), others)

    def _answer(self, best: Iterable[tuple[float, int]], k: int) -> list[Item]:
        ids, titles = self._config.item_ids, self._config.titles
        if self._changes is None:
            return [Item(ids[index], score, titles[index]) for score, index in islice(best, k)]
        found = ((score, *self._product(index)) for score, index in best if score > -torch.inf)
        return [Item(item_id, score, title) for score, item_id, title in islice(found, k)]

    def _product(self, index: int) -> tuple[str, str]:
        """Id and title of a product."""
        if self._changes is not None and index >= len(self._config.item_ids):
            return self._changes.product(index)
        return self._config.item_ids[index], self._config.titles[index]


def build_search(
    catalogue: Catalogue,
    vectors: Tensor,
    encoder: Encoder,
    folder: Path,
    *,
    exact: bool = False,
    exact_up_to: int = EXACT_UP_TO,
    judgements: Judgements | None = None,
) -> dict[str, float]:
    """Writes a search model's files and returns its metrics; `vectors` [len(catalogue), width] are in its order.

    `exact` makes the encoder serve in float32. A catalogue of more than `exact_up_to` products gets an inverted file;
    raises ModelError when its recall is too low. The weight of words is learnt from `judgements`, if there are any.
    """
    arrays, measured, weight = {"vectors": vectors.cpu()}, dict[str, float](), LEXICAL_WEIGHT
    if len(catalogue) > exact_up_to:
        catalogue, arrays = _sorted_by_cell(catalogue, arrays["vectors"].to(serving_dtype(_CPU)))
    code = detected(catalogue.texts)
    build_lexical(catalogue.texts, folder / _LEXICAL, catalogue.item_ids, code, encoder.knows)
    build_exact(catalogue.item_ids, catalogue.titles, catalogue.texts, folder)
    if judgements:
        words = load_lexical(folder / _LEXICAL, len(catalogue), code, encoder.knows)
        weight, measured = learnt_weight(judgements, catalogue.item_ids, words, arrays["vectors"], encoder)
    config = SearchConfig(
        catalogue.item_ids, catalogue.titles, encoder.name, encoder.digest, weight, exact=exact, language=code
    )
    if inverted_file := _inverted_file(arrays):
        ranking = _ranking(config, arrays, folder, encoder)
        measured |= choose_probes(ranking, inverted_file, catalogue.titles, encoder)
        config = msgspec.structs.replace(config, probes=int(measured["probes"]))
    save_file({name: array.contiguous() for name, array in arrays.items()}, folder / _VECTORS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(config))
    return {"items": float(len(catalogue)), "lexical_weight": weight, **measured}


def load_search(folder: Path, label: str, device: str = "auto") -> HybridSearch:
    """The model in `folder`, whose files the caller has verified; starts no thread.

    Raises IntegrityError when the encoder on this host is not the one that computed the vectors.
    """
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=SearchConfig)
    encoder = load_encoder(config.encoder, device, exact=config.exact)
    if encoder.digest != config.encoder_digest:
        raise IntegrityError(
            f"{label} was built with encoder {config.encoder} {config.encoder_digest[:12]}…, here it is "
            f"{encoder.digest[:12]}…; run `standfast models train search`"
        )
    ranking = _ranking(config, _copied(load_file(folder / _VECTORS), encoder.device), folder, encoder)
    if encoder.device == _CPU and torch.get_num_threads() == 1:
        with torch.inference_mode():
            ranking.make_kernels()
    return HybridSearch(label, config, ranking, load_exact(folder), encoder)


def _copied(arrays: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies on the device, in the precision of serving: loaded files are mapped, and may be overwritten."""
    dtype = PRECISION if "ends" in arrays and device == _CPU else serving_dtype(device)
    return {
        name: array.to(device, dtype if array.is_floating_point() else array.dtype, copy=True)
        for name, array in arrays.items()
    }


def _ranking(config: SearchConfig, arrays: Mapping[str, Tensor], folder: Path, encoder: Encoder) -> Ranking:
    vectors = arrays["vectors"]
    words = load_lexical(folder / _LEXICAL, len(config.item_ids), config.language, encoder.knows)
    # A GPU compares all products in less time than it reads an inverted file.
    inverted_file = _inverted_file(arrays) if vectors.device == _CPU else None
    return Ranking(vectors, words, config.lexical_weight, inverted_file, config.probes)


def _inverted_file(arrays: Mapping[str, Tensor]) -> InvertedFile | None:
    return InvertedFile(arrays["centres"], arrays["ends"]) if "ends" in arrays else None


def _sorted_by_cell(catalogue: Catalogue, vectors: Tensor) -> tuple[Catalogue, dict[str, Tensor]]:
    """The catalogue and its vectors, sorted by cell, and the inverted file's arrays."""
    inverted_file, order = build_inverted_file(vectors)
    indices = order.tolist()
    item_ids, titles, texts = (
        [column[index] for index in indices] for column in (catalogue.item_ids, catalogue.titles, catalogue.texts)
    )
    centres = inverted_file.centres.to(PRECISION)
    arrays = {"vectors": vectors[order].to(PRECISION), "centres": centres, "ends": inverted_file.ends}
    return Catalogue(item_ids, titles, texts, catalogue.digest), arrays
