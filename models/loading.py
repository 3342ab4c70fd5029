"""From a service's name to its model, verified and ready to be forked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import registry
from models.base import Model
from standfast.core.services import resolved, spec_of


def load(service: str, version: int | None = None, device: str = "auto") -> Model[Any]:
    """The model of a service: the given version, else the active one; its files' digests are checked first.

    Starts no thread in a process that called `torch.set_num_threads(1)`, which may fork afterwards.
    `device`: `auto` (CUDA when there is one), `cpu` or `cuda`. Raises ModelError when none is published,
    IntegrityError naming the file that is not the one its manifest describes.
    """
    opened: Callable[[Path, str, str], Model[Any]] = resolved(spec_of(service).model)
    folder, manifest = registry.checked(service, version)
    return opened(folder, manifest.label, device)
