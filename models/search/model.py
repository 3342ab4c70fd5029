"""Product search: builds a model's files from a catalogue, and loads the model that answers from them.

`models.search.reading` reads the query, `models.search.ranking` computes the scores, `models.search.refining` what a
request may ask for beside. BM25 and vectors weigh the same:
BM25 counts for as much as a product has of the query's words. A query that shares no word with any product is ranked by
vectors alone. A product whose code or title equals the query comes before all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec.structs import replace
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.attributes.checking import refusal
from models.attributes.columns import Columns, Mask, build_attributes, load_attributes
from models.attributes.live import LiveAttributes
from models.base import Change, Faceted, Refined, SearchQuery
from models.data.catalogue import Catalogue
from models.data.judgements import Judgements
from models.data.text import plain
from models.encoder.model import Encoder, estimate_tokens, load_encoder
from models.kernels.linear import serving_dtype
from models.search.changes import Changes
from models.search.exact import ExactIndex, build_exact, load_exact
from models.search.explaining import Explanation
from models.search.inverted_file import PRECISION, InvertedFile, build_inverted_file
from models.search.languages import detected
from models.search.lexical import build_lexical, load_lexical
from models.search.ranking import Ranking
from models.search.reading import ReadQuery
from models.search.recall import choose_probes
from models.search.refining import best_of, counted, matches
from models.search.tuning import LEXICAL_WEIGHT, learnt_weight
from schemas.records import Item
from standfast.core.errors import IntegrityError, ModelError

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

    def __init__(
        self,
        label: str,
        config: SearchConfig,
        ranking: Ranking,
        exact: ExactIndex,
        encoder: Encoder,
        attributes: Columns | None = None,
    ) -> None:
        self._label, self._config = label, config
        self._ranking, self._exact, self._encoder = ranking, exact, encoder
        self._columns = attributes
        self._attributes = None if attributes is None else LiveAttributes(attributes)
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
        """Any product can be ranked, by its vector: only a small catalogue, or a filter, leaves fewer than `k`."""
        if (allowed := self._allowed(query)) is not None:
            return min(query.k, int(allowed.sum()))
        return min(query.k, len(self._config.item_ids) if self._changes is None else self._changes.least)

    def refusal(self, query: SearchQuery) -> str:
        """Why the query cannot be answered; empty if it can."""
        return "" if query.refined is None else refusal(query.refined, self._columns, self._label)

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
            self._describe(product)
        else:
            read = torch.frombuffer(bytearray(vector), dtype=torch.float32)
            self._changed().put(product.item_id, product.title, product.text, read, product.attributes)

    def restore(self, item_id: str) -> None:
        """Finds a product as it was at training."""
        if self._changes is not None:
            self._changes.restore(item_id)
        if self._attributes is not None and (index := self._trained_index(item_id)) is not None:
            self._attributes.forget(index)

    def _describe(self, product: Change) -> None:
        """A product whose texts are those of its training, such as one with a new price, stays where it is."""
        index = self._trained_index(product.item_id)
        if self._attributes is None or index is None:
            return
        if not self._attributes.trained.as_trained(index, product.attributes):
            self._attributes.put(index, product.attributes)

    def _trained_index(self, item_id: str) -> int | None:
        return self._exact.index(item_id, self._config.item_ids)

    def _is_as_trained(self, product: Change) -> bool:
        index = self._trained_index(product.item_id)
        if index is None or self._config.titles[index] != product.title:
            return False
        return self._exact.has_text(index, product.text)

    def _changed(self) -> Changes:
        self._changes = self._changes or Changes(self._config.item_ids, self._ranking, self._exact, self._attributes)
        return self._changes

    def _allowed(self, query: SearchQuery) -> Mask | None:
        """The products that a query's filters leave; None if it has none."""
        if query.refined is None or not query.refined.filters:
            return None
        if self._attributes is None:
            raise ModelError(self.refusal(query))
        shown = (self._changes or self._ranking).shown()
        allowed: Mask = shown & self._attributes.mask(query.refined.filters, len(shown))
        return allowed

    def _answers(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        texts = [plain(query.query) for query in queries]
        ranking = self._changes or self._ranking
        readings = [ranking.read(text) for text in texts]
        masks = [self._allowed(query) for query in queries]
        with torch.inference_mode():
            max_k = max(query.k for query in queries)
            vectors = self._encoder.encode([reading.text for reading in readings])
            scores, indices = best_of(ranking, readings, vectors, max_k, masks)
            rows = zip(queries, texts, scores, indices, masks, strict=True)
            best = [self._exact_first(text, v, p, mask) for _, text, v, p, mask in rows]
            return [
                self._answer(best[row], query.k)
                if query.refined is None
                else self._refined(query, query.refined, readings[row], vectors[row], best[row])
                for row, query in enumerate(queries)
            ]

    def _exact_first(
        self, text: str, scores: Sequence[float], indices: Sequence[int], allowed: Mask | None
    ) -> Iterable[tuple[float, int]]:
        """Scores and indices of products, those whose code or title equals `text` first."""
        exact = (self._changes or self._exact).find(text)
        if allowed is not None:
            exact = [index for index in exact if allowed[index]]
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

    def _refined(
        self,
        query: SearchQuery,
        refined: Refined,
        reading: ReadQuery,
        vector: Tensor,
        best: Iterable[tuple[float, int]],
    ) -> list[Item]:
        """An answer with reasons and counts, as far as they are asked for."""
        text = plain(query.query)
        chosen = list(islice(((score, index) for score, index in best if score > -torch.inf), query.k))
        items = [Item(item_id, score, title) for score, i in chosen for item_id, title in (self._product(i),)]
        if refined.explain:
            indices = [index for _, index in chosen]
            explanation = Explanation(text, reading, indices, self._ranking, self._changes)
            items = [
                replace(item, why=explanation.why(index, item.title, item.score, _exact(item.score)))
                for index, item in zip(indices, items, strict=True)
            ]
        if not refined.facets or self._attributes is None:
            return items
        ranking = self._changes or self._ranking
        matching = matches(ranking, reading, vector, (self._changes or self._exact).find(text))
        return Faceted(items, counted(self._attributes, refined, matching))

    def _product(self, index: int) -> tuple[str, str]:
        """Id and title of a product."""
        if self._changes is not None and index >= len(self._config.item_ids):
            return self._changes.product(index)
        return self._config.item_ids[index], self._config.titles[index]


def _exact(score: float) -> Literal["code", "title"] | None:
    """What was typed if a product has this score: its code, its title, or neither."""
    if score == _CODE:
        return "code"
    return "title" if score == _TITLE else None


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
    build_attributes(catalogue.described(catalogue.item_ids), folder)
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
    return HybridSearch(label, config, ranking, load_exact(folder), encoder, load_attributes(folder))


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
    attributes = catalogue.described(item_ids)
    centres = inverted_file.centres.to(PRECISION)
    arrays = {"vectors": vectors[order].to(PRECISION), "centres": centres, "ends": inverted_file.ends}
    return Catalogue(item_ids, titles, texts, catalogue.digest, attributes), arrays
