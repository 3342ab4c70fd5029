"""Trains models from the shop in use and publishes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from models import registry
from models.data.catalogue import Catalogue, Overlay
from models.data.interactions import Interactions
from models.data.shop import check_match, load_catalogue, load_interactions
from models.encoder.model import BUNDLED, Encoder, load_encoder
from models.encoder.vectors import encode_cached
from models.evaluation.splits import SplitName
from models.manifests import Manifest
from models.search.model import EXACT_UP_TO
from standfast import __version__
from standfast.core.services import NAMES, ServiceSpec, resolved, spec_of

MetricsAndLineage = tuple[Mapping[str, float], Mapping[str, str]]


class Progress(Protocol):
    """Receives the progress of training, such as a bar on a terminal."""

    def phase(self, name: str, total: int | None = None) -> None:
        """A new phase begins, of `total` steps if that is known."""

    def step(self, count: int) -> None:
        """`count` more steps are done."""


class NoProgress:
    """Progress that is not shown."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Does nothing."""

    def step(self, count: int) -> None:
        """Does nothing."""


@dataclass(frozen=True, slots=True)
class Shop:
    """The data that models are trained from; `vectors` [products, width] are the catalogue's, on the CPU.

    `offsets`: up to where the topic `catalogue` was read that is laid over the file; empty if it was not.
    """

    catalogue: Catalogue
    events: Interactions | None
    encoder: Encoder
    vectors: Tensor
    offsets: str = ""

    def lineage(self, **more: str) -> dict[str, str]:
        """What a model was trained from and with: digests of the data, and versions."""
        return {
            "catalogue_sha256": self.catalogue.digest,
            "encoder": self.encoder.name,
            "encoder_sha256": self.encoder.digest,
            "standfast": __version__,
            "torch": str(torch.__version__),
            **({"catalogue_offsets": self.offsets} if self.offsets else {}),
            **more,
        }


@dataclass(frozen=True, slots=True)
class Recommending:
    """How the recommendation model is chosen.

    `model`: a name of `models.recommend.table`, None for the best by validation. `force`: publish it even if a baseline
    is better. `split`: a name of `models.evaluation.splits`, None for the one that fits the data. `quick`: try those
    recommenders that are fitted in seconds, for a system's first start.
    """

    model: str | None = None
    force: bool = False
    split: SplitName | None = None
    quick: bool = False
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Options:
    """How models are trained. `exact_up_to`: products of the largest catalogue that a search compares whole."""

    device: str
    exact_up_to: int
    recommending: Recommending = Recommending()


TrainService = Callable[[Shop, Path, Progress, Options], MetricsAndLineage]
"""Trains one service's model into a folder; returns its metrics and lineage."""


def train(  # noqa: PLR0913, PLR0917 - what a caller brings instead of the shop in use
    names: Sequence[str] = NAMES,
    catalogue: Catalogue | None = None,
    interactions: Interactions | None = None,
    progress: Progress | None = None,
    encoder: str = BUNDLED,
    device: str = "auto",
    exact_up_to: int = EXACT_UP_TO,
    recommending: Recommending | None = None,
    overlay: Overlay | None = None,
) -> list[Manifest]:
    """Trains, publishes and activates the named models, from the shop in use unless data is given; their manifests.

    `overlay`: changes to lay over the catalogue of the shop in use.
    Blocks: 23 s of CPU for the sample shop when `recommending.quick`, 8 s more when its texts are not in the cache.
    Raises DataError, ModelError.
    """
    specs = [spec_of(name) for name in names]
    progress = progress or NoProgress()
    shop = open_shop(
        progress,
        catalogue,
        interactions,
        encoder=encoder,
        device=device,
        histories=any(spec.histories for spec in specs),
        overlay=overlay,
    )
    options = Options(device, exact_up_to, recommending or Recommending())
    return [_publish(spec, shop, progress, options) for spec in specs]


def open_shop(
    progress: Progress,
    catalogue: Catalogue | None = None,
    interactions: Interactions | None = None,
    *,
    encoder: str = BUNDLED,
    device: str = "auto",
    histories: bool = True,
    overlay: Overlay | None = None,
) -> Shop:
    """The shop in use unless data is given, with its texts encoded. Raises DataError, ModelError.

    `histories`: whether interactions are needed; then they must be about the catalogue. `overlay`: see `train`.
    """
    offsets = ""
    if catalogue is None:
        progress.phase("reading the shop")
        catalogue, interactions = load_catalogue(), load_interactions()
        if overlay is not None:
            catalogue, offsets = catalogue.overlaid(overlay.changes), overlay.offsets
    if interactions is not None and histories:
        check_match(catalogue, interactions)
    progress.phase("loading the encoder")
    loaded = load_encoder(encoder, device, exact=True)
    progress.phase("encoding the catalogue", len(catalogue))
    return Shop(catalogue, interactions, loaded, encode_cached(loaded, catalogue.texts, progress.step), offsets)


def ensure(
    names: Sequence[str] = NAMES,
    progress: Progress | None = None,
    encoder: str = BUNDLED,
    device: str = "auto",
) -> list[Manifest]:
    """Trains and activates those of the named models that have no active version; the others are left alone."""
    missing = [name for name in names if registry.active(name) is None]
    if not missing:
        return []
    quick = Recommending(quick=True)
    return train(missing, progress=progress, encoder=encoder, device=device, recommending=quick)


def _publish(spec: ServiceSpec, shop: Shop, progress: Progress, options: Options) -> Manifest:
    fill: TrainService = resolved(spec.training)
    manifest = registry.publish(spec.name, lambda folder: fill(shop, folder, progress, options))
    registry.activate(spec.name, manifest.version)
    return manifest
