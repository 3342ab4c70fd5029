"""Loads a service's model, verified and ready to be forked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import registry
from models.base import Model
from models.kernels.linear import only_float32
from standfast.core.services import resolved, spec_of


def load(service: str, version: int | None = None, device: str = "auto", precision: str = "auto") -> Model[Any]:
    """The model of a service: the given version, else the active one; its files' digests are checked first.

    A process that called `torch.set_num_threads(1)` may fork afterwards: loading then starts no thread.
    `device`: `auto` (CUDA where there is a device), `cpu`, `cuda` or `cuda:<number>`. `precision`: `auto`, or
    `float32`, which then holds for whatever this process loads. Raises ModelError when no version is published,
    IntegrityError naming the file that is not as its manifest says.
    """
    opened: Callable[[Path, str, str], Model[Any]] = resolved(spec_of(service).model)
    if precision == "float32":
        only_float32()
    folder, manifest = registry.checked(service, version)
    return opened(folder, manifest.label, device)
