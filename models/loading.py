"""From a service's name to its model, verified and ready to be forked."""

from __future__ import annotations

from typing import Literal, overload

from models import registry
from models.base import RecommendModel, SearchModel, Service
from standfast.errors import UsageError


@overload
def load(service: Literal["search"], version: int | None = None, device: str = "auto") -> SearchModel: ...


@overload
def load(service: Literal["recommend"], version: int | None = None, device: str = "auto") -> RecommendModel: ...


def load(service: Service, version: int | None = None, device: str = "auto") -> SearchModel | RecommendModel:
    """The model of a service: the given version, else the active one; its files' digests are checked first.

    Starts no thread in a process that called `torch.set_num_threads(1)`, which may fork afterwards.
    `device`: `auto` (CUDA when there is one), `cpu` or `cuda`. Raises ModelError when none is published,
    IntegrityError naming the file that is not the one its manifest describes.
    """
    if service not in {"search", "recommend"}:
        raise UsageError(f"there is no service {service!r}; there are search and recommend")
    folder, manifest = registry.checked(service, version)
    if service == "search":
        from models.search import load_search

        return load_search(folder, manifest.label, device)
    from models.recommend import load_recommender

    return load_recommender(folder, manifest.label, device)
