"""The seam between serving and models: what a model is asked, what it answers, what a worker may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from schemas.records import Item


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search. `user_id` is not used for ranking yet; it is there for models that will."""

    query: str
    k: int
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """One recommendation. `history`: item ids, oldest first, on top of what the model knows of the user."""

    user_id: str | None
    k: int
    history: tuple[str, ...] = ()
    exclude_seen: bool = True


Q_contra = TypeVar("Q_contra", contravariant=True)


class Model(Protocol[Q_contra]):
    """A loaded model. Loading answers nothing and starts no thread, so a loaded model may be forked.

    The same query always gets the same answer: workers may keep it. A search model whose answers do not depend on
    `user_id` says so by an attribute `ignores_user = True`; then one user's answer serves all. A
    model whose queries take very different times has a method `cost(query) -> int`, which is quick: batches of the
    same sum of it take about the same time.
    """

    @property
    def label(self) -> str:
        """Name and version, as answers carry it: `search@3`."""

    def predict(self, queries: Sequence[Q_contra]) -> list[list[Item]]:
        """One list for each query, in their order: best first, at most `k` items. Blocks."""

    def warm_up(self) -> None:
        """Runs a first inference, which is slow and starts threads: after the fork, never before."""


Query: TypeAlias = SearchQuery | RecommendQuery
