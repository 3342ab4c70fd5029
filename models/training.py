"""Trains the models of the shop in use and publishes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from models import registry
from models.data.catalogue import Catalogue
from models.data.interactions import Interactions
from models.data.shop import check_match, load_catalogue, load_interactions
from models.encoder.model import BUNDLED, Encoder, load_encoder
from models.encoder.vectors import encoded
from models.search.model import EXACT_UP_TO
from standfast import __version__
from standfast.core.services import NAMES, ServiceSpec, resolved, spec_of

Filled = tuple[Mapping[str, float], Mapping[str, str]]


class Progress(Protocol):
    """Where training says how far it is: a bar on a terminal, or nothing."""

    def phase(self, name: str, total: int | None = None) -> None:
        """A new phase begins; `total` steps of it are to come, if that is known."""

    def step(self, count: int) -> None:
        """`count` more steps are done."""


class Silent:
    """No progress shown."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Says nothing."""

    def step(self, count: int) -> None:
        """Says nothing."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What models are trained from."""

    catalogue: Catalogue
    events: Interactions | None
    encoder: Encoder
    vectors: Tensor

    def lineage(self, **more: str) -> dict[str, str]:
        """Where a model comes from, down to the digests of the data."""
        return {
            "catalogue_sha256": self.catalogue.digest,
            "encoder": self.encoder.name,
            "encoder_sha256": self.encoder.digest,
            "standfast": __version__,
            "torch": str(torch.__version__),
            **more,
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How models are trained: on which device, and up to how many products a search compares each with a query."""

    device: str
    exact_up_to: int


Fill = Callable[[Shop, Path, Progress, Options], Filled]
"""Trains one service's model into a folder; its metrics and its lineage."""


def train(
    names: Sequence[str] = NAMES,
    catalogue: Catalogue | None = None,
    interactions: Interactions | None = None,
    progress: Progress | None = None,
    encoder: str = BUNDLED,
    device: str = "auto",
    exact_up_to: int = EXACT_UP_TO,
) -> list[registry.Manifest]:
    """Trains and publishes the named models and makes them active; from the shop in use unless data is given.

    Blocks: 7 s of CPU for the sample shop, 15 s when its texts are not encoded yet. Raises DataError, ModelError.
    """
    specs = [spec_of(name) for name in names]
    show = progress or Silent()
    if catalogue is None:
        show.phase("reading the shop")
        catalogue, interactions = load_catalogue(), load_interactions()
    if interactions is not None and any(spec.histories for spec in specs):
        check_match(catalogue, interactions)
    show.phase("loading the encoder")
    loaded = load_encoder(encoder, device, exact=True)
    show.phase("encoding the catalogue", len(catalogue))
    shop = Shop(catalogue, interactions, loaded, encoded(loaded, catalogue.texts, show.step))
    options = Options(device, exact_up_to)
    return [_publish(spec, shop, show, options) for spec in specs]


def ensure(
    names: Sequence[str] = NAMES,
    progress: Progress | None = None,
    encoder: str = BUNDLED,
    device: str = "auto",
) -> list[registry.Manifest]:
    """Trains and activates those of the named models that have no active version; the others are left alone."""
    missing = [name for name in names if registry.active(name) is None]
    return train(missing, progress=progress, encoder=encoder, device=device) if missing else []


def _publish(spec: ServiceSpec, shop: Shop, show: Progress, options: Options) -> registry.Manifest:
    fill: Fill = resolved(spec.training)
    manifest = registry.publish(spec.name, lambda folder: fill(shop, folder, show, options))
    registry.activate(spec.name, manifest.version)
    return manifest
