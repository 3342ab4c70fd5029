"""Product search: a catalogue's files, and the loaded model that answers from them.

How products are scored stands in `models.search.ranking`. The weight of BM25 in it was chosen on SciFact's training
queries: nDCG@10 0.7278 there, and 0.732 on its test queries (BM25 alone 0.668, vectors alone 0.648). A query that
shares no word with any product is ranked by vectors alone. Whose code or title is the whole query stands before all
others.
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

from models.base import SearchQuery
from models.data.catalogue import Catalogue
from models.data.text import plain
from models.encoder.model import Encoder, about_tokens, load_encoder
from models.kernels.device import in_halves
from models.kernels.linear import serving_dtype
from models.search.exact import Exact, build_exact, load_exact
from models.search.inverted_file import PRECISION, Cells, divide
from models.search.lexical import build_lexical, load_lexical
from models.search.ranking import Ranking
from models.search.recall import cheapest
from schemas.records import Item
from standfast.core.errors import IntegrityError

LEXICAL_WEIGHT = 0.35
EXACT_UP_TO = 200_000
_CPU = torch.device("cpu")
_CODE, _TITLE = 2.0, 1.5  # scores of products with just the code or title that was typed; others have at most 1
_CONFIG, _VECTORS, _LEXICAL = "search.json", "vectors.safetensors", "lexical"


class SearchConfig(msgspec.Struct, frozen=True):
    """What is kept beside the arrays.

    `exact`: the encoder serves in float32. `probes`: cells read for a query; 0 where every product is compared.
    """

    item_ids: list[str]
    titles: list[str]
    encoder: str
    encoder_digest: str
    lexical_weight: float = LEXICAL_WEIGHT
    exact: bool = False
    probes: int = 0


class HybridSearch:
    """A loaded search model; see `models.base.Model`."""

    ignores_user = True

    def __init__(self, label: str, config: SearchConfig, ranking: Ranking, exact: Exact, encoder: Encoder) -> None:
        self._label, self._config = label, config
        self._ranking, self._exact, self._encoder = ranking, exact, encoder

    @property
    def label(self) -> str:
        """`search@<version>`."""
        return self._label

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        """One list for each query, best first."""
        return in_halves(self._answers, queries) if queries else []

    def cost(self, query: SearchQuery) -> int:
        """About how many tokens the encoder will read for it."""
        return about_tokens(query.query)

    def warm_up(self) -> None:
        """One search of each batch size a worker meets."""
        for count in (1, 8):
            self.predict([SearchQuery("white hanging heart", 10)] * count)

    def _answers(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        texts = [plain(query.query) for query in queries]
        with torch.inference_mode():
            most = max(query.k for query in queries)
            values, places = self._ranking.best(texts, self._encoder.encode(texts), most)
        rows = zip(queries, texts, values, places, strict=True)
        return [self._answer(self._exact_first(text, v, p), query.k) for query, text, v, p in rows]

    def _exact_first(self, text: str, values: Sequence[float], places: Sequence[int]) -> Iterable[tuple[float, int]]:
        """Scores and places, those of the products of which the text is the code or title first."""
        exact = self._exact.find(text)
        if not exact:
            return zip(values, places, strict=True)
        code, ids = text.casefold(), self._config.item_ids
        first = [(_CODE if ids[place].casefold() == code else _TITLE, place) for place in exact]
        known = set(exact)
        others = ((value, place) for value, place in zip(values, places, strict=True) if place not in known)
        return chain(sorted(first, key=itemgetter(0), reverse=True), others)

    def _answer(self, best: Iterable[tuple[float, int]], k: int) -> list[Item]:
        ids, titles = self._config.item_ids, self._config.titles
        return [Item(ids[place], value, titles[place]) for value, place in islice(best, k)]


def build_search(
    catalogue: Catalogue,
    vectors: Tensor,
    encoder: Encoder,
    folder: Path,
    *,
    exact: bool = False,
    exact_up_to: int = EXACT_UP_TO,
) -> dict[str, float]:
    """Writes a search model's files and returns its metrics; `vectors` are [len(catalogue), width], in its order.

    `exact` makes the encoder serve in float32. A catalogue of more than `exact_up_to` products is put into cells.
    Raises ModelError when they find too little.
    """
    arrays, found = {"vectors": vectors.cpu()}, {}
    if len(catalogue) > exact_up_to:
        catalogue, arrays = _divided(catalogue, arrays["vectors"].to(serving_dtype(_CPU)))
    build_lexical(catalogue.texts, folder / _LEXICAL, catalogue.item_ids)
    build_exact(catalogue.item_ids, catalogue.titles, folder)
    config = SearchConfig(catalogue.item_ids, catalogue.titles, encoder.name, encoder.digest, exact=exact)
    if cells := _cells(arrays):
        found = cheapest(_ranking(config, arrays, folder), cells, catalogue.titles, encoder)
        config = msgspec.structs.replace(config, probes=int(found["probes"]))
    save_file({name: array.contiguous() for name, array in arrays.items()}, folder / _VECTORS)
    (folder / _CONFIG).write_bytes(msgspec.json.encode(config))
    return {"items": float(len(catalogue)), **found}


def load_search(folder: Path, label: str, device: str = "auto") -> HybridSearch:
    """The model in `folder`, whose files the caller has verified; starts no thread.

    Raises IntegrityError when the encoder here is not the one its vectors were made with.
    """
    config = msgspec.json.decode((folder / _CONFIG).read_bytes(), type=SearchConfig)
    encoder = load_encoder(config.encoder, device, exact=config.exact)
    if encoder.digest != config.encoder_digest:
        raise IntegrityError(
            f"{label} was built with encoder {config.encoder} {config.encoder_digest[:12]}…, here it is "
            f"{encoder.digest[:12]}…; run `standfast models train search`"
        )
    ranking = _ranking(config, _copied(load_file(folder / _VECTORS), encoder.device), folder)
    if encoder.device == _CPU and torch.get_num_threads() == 1:
        with torch.inference_mode():
            ranking.make_kernels()
    return HybridSearch(label, config, ranking, load_exact(folder), encoder)


def _copied(arrays: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies, so that nothing hangs on a file that may be overwritten, in the precision in which they are compared."""
    dtype = PRECISION if "ends" in arrays and device == _CPU else serving_dtype(device)
    return {
        name: array.to(device, dtype if array.is_floating_point() else array.dtype, copy=True)
        for name, array in arrays.items()
    }


def _ranking(config: SearchConfig, arrays: Mapping[str, Tensor], folder: Path) -> Ranking:
    vectors, words = arrays["vectors"], load_lexical(folder / _LEXICAL, len(config.item_ids))
    cells = _cells(arrays) if vectors.device == _CPU else None  # a GPU compares with every product in less time
    return Ranking(vectors, words, config.lexical_weight, cells, config.probes)


def _cells(arrays: Mapping[str, Tensor]) -> Cells | None:
    return Cells(arrays["centres"], arrays["ends"]) if "ends" in arrays else None


def _divided(catalogue: Catalogue, vectors: Tensor) -> tuple[Catalogue, dict[str, Tensor]]:
    """The catalogue and its vectors in the order of their cells."""
    cells, order = divide(vectors)
    places = order.tolist()
    item_ids, titles, texts = (
        [column[place] for place in places] for column in (catalogue.item_ids, catalogue.titles, catalogue.texts)
    )
    arrays = {"vectors": vectors[order].to(PRECISION), "centres": cells.centres.to(PRECISION), "ends": cells.ends}
    return Catalogue(item_ids, titles, texts, catalogue.digest), arrays
