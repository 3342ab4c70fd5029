"""The versions of the models in this machine's state folder, and who serves which on any host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.snapshot import Snapshot
from models import registry
from models.activation import Activation

_MOST_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One published version; `made`: epoch milliseconds, `served_by`: workers of any host.

    `challenger`: what it does if it is tried beside the active version, else empty.
    """

    label: str
    made: int
    active: bool
    challenger: str
    served_by: tuple[str, ...]
    metrics: tuple[tuple[str, float], ...]
    lineage: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelRows:
    """One model's versions, the newest first; `ended`: why its last challenger was ended, empty if it was not."""

    name: str
    versions: tuple[ModelVersion, ...]
    ended: str


def model_rows(snapshot: Snapshot) -> list[ModelRows]:
    """Every model; reads the manifests, so call it in a thread. Raises ModelError or OSError for a broken folder."""
    serving = dict(served(snapshot))
    return [_rows(name, registry.activation(name), serving) for name in registry.names()]


def served(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each version that is served, and its workers."""
    by_label: dict[str, list[str]] = {}
    for host in snapshot.living:
        for row in host.status.workers:
            if row.model and row.role == "active":
                by_label.setdefault(row.model, []).append(row.id)
    yield from ((label, tuple(sorted(workers))) for label, workers in sorted(by_label.items()))


def _rows(name: str, activation: Activation | None, serving: dict[str, tuple[str, ...]]) -> ModelRows:
    return ModelRows(name, tuple(_versions(name, activation, serving)), activation.ended if activation else "")


def _versions(name: str, activation: Activation | None, serving: dict[str, tuple[str, ...]]) -> Iterator[ModelVersion]:
    canary = activation.canary if activation else None
    for number in sorted(registry.versions(name), reverse=True)[:_MOST_VERSIONS]:
        manifest = registry.manifest_of(name, number)
        yield ModelVersion(
            manifest.label,
            manifest.created_at,
            activation is not None and number == activation.version,
            canary.about if canary is not None and canary.version == number else "",
            serving.get(manifest.label, ()),
            tuple(sorted(manifest.metrics.items())[:8]),
            tuple(sorted(manifest.lineage.items())[:8]),
        )
