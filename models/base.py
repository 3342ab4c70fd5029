"""The interface between workers and models: queries, answers, and what a worker may rely on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from models.attributes.reading import Attributes
from schemas.records import Facet, Item


@dataclass(frozen=True, slots=True)
class Filter:
    """What an attribute of a product must be: from `least` to `most`, both included, or one of `values`."""

    attribute: str
    least: float = -math.inf
    most: float = math.inf
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refined:
    """What a request asks for beside the best products: that all filters hold, counts by attribute, reasons."""

    filters: tuple[Filter, ...] = ()
    facets: tuple[str, ...] = ()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search. `user_id` is for models that rank by user; the one here does not."""

    query: str
    k: int
    user_id: str | None = None
    refined: Refined | None = None


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """One recommendation. `history`: item ids, oldest first, added to those that the model knows of the user."""

    user_id: str | None
    k: int
    history: tuple[str, ...] = ()
    exclude_seen: bool = True
    refined: Refined | None = None


class Faceted(list[Item]):
    """An answer that has counts by attribute beside its products."""

    def __init__(self, items: Iterable[Item], facets: dict[str, Facet]) -> None:
        super().__init__(items)
        self.facets = facets


Q_contra = TypeVar("Q_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Change:
    """A product as it is now: its title, the text that search indexes, its attributes. `title` None: it is gone."""

    item_id: str
    title: str | None
    text: str = ""
    attributes: Attributes = ()


class Model(Protocol[Q_contra]):
    """A loaded model. Loading computes no answer and starts no thread, so a process with a loaded model may be forked.

    The same query always gets the same answer, so workers may cache it. A search model whose answers do not depend on
    `user_id` has the attribute `ignores_user = True`; workers then reuse an answer for all users. A model whose queries
    take very different times has a method `cost(query) -> int`, which is quick: batches whose costs have the same sum
    take about the same time. A model that knows how many products a sound answer has at least has a method
    `least(query) -> int`; workers ask it about answers with fewer products than `k`, and publish none with fewer still.
    A model that cannot answer every query has a method `refusal(query) -> str`, which is quick: why it cannot, empty if
    it can; such a request is answered `invalid`. An answer with counts is a `Faceted`.
    """

    @property
    def label(self) -> str:
        """Name and version, as answers carry it: `search@3`."""

    def predict(self, queries: Sequence[Q_contra]) -> list[list[Item]]:
        """One list for each query, in the order of `queries`: at most `k` items, best first. Blocks.

        Workers ask again with half of the queries where this runs out of memory, and end where its device is lost.
        """

    def warm_up(self) -> None:
        """Runs a first inference, which is slow and starts threads. Call it after the fork, never before."""


@runtime_checkable
class Changeable(Protocol):
    """A model whose products can change while it serves; called by the thread that calls `predict`, between batches.

    A change costs microseconds, its vector milliseconds. Processes may share vectors of the same `vectors_of`.
    """

    @property
    def vectors_of(self) -> str:
        """The name of what computes the vectors; empty for a model that needs none."""

    def needs_vector(self, product: Change) -> bool:
        """Whether `change` needs the vector of the product's text; may be called by any thread."""

    def vector(self, text: str) -> bytes:
        """The vector of a text, float32."""

    def change(self, product: Change, vector: bytes) -> None:
        """Answers from now on with the product as it is now; `vector`: that of its text, empty if it needs none."""

    def restore(self, item_id: str) -> None:
        """Answers from now on with the product as it was at training."""


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """What a worker computes with: the version that serves, and the challenger that is tried beside it, if any."""

    champion: Model[Any]
    challenger: Model[Any] | None = None

    @property
    def watched(self) -> object:
        """What has weights: the champion, or both."""
        return self.champion if self.challenger is None else self


Query: TypeAlias = SearchQuery | RecommendQuery
