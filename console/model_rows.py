"""The versions of the models in this machine's state folder, and who serves which on any host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.snapshot import Snapshot
from models import registry
from models.activations import Activation

_MOST_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One published version; `made`: epoch milliseconds, `served_by`: workers of any host.

    `challenger`: what it does if it is tried beside the active version, else empty.
    """

    label: str
    number: int
    made: int
    active: bool
    challenger: str
    served_by: tuple[str, ...]
    metrics: tuple[tuple[str, float], ...]
    lineage: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelRows:
    """One model's versions, the newest first; `before`: the one that a rollback goes to, empty if there is none.

    `changed_at`: when a version was activated or a challenger began or ended, the last of them; epoch milliseconds, 0
    if that is not known. `ended`: why the last challenger was ended, empty if it was not.
    """

    name: str
    versions: tuple[ModelVersion, ...]
    before: str = ""
    changed_at: int = 0
    requested_by: str = ""
    ended: str = ""


def model_rows(snapshot: Snapshot) -> list[ModelRows]:
    """Every model; reads the manifests, so call it in a thread. Raises ModelError or OSError for a broken folder."""
    serving = dict(served(snapshot))
    return [_rows(name, serving) for name in registry.names()]


def served(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each version that is served, and its workers."""
    by_label: dict[str, list[str]] = {}
    for host in snapshot.living:
        for row in host.status.workers:
            if row.model and row.role == "active":
                by_label.setdefault(row.model, []).append(row.id)
    yield from ((label, tuple(sorted(workers))) for label, workers in sorted(by_label.items()))


def _rows(name: str, serving: dict[str, tuple[str, ...]]) -> ModelRows:
    now = registry.activation(name)
    earlier = registry.served_before(name, now.version if now is not None else 0)
    return ModelRows(
        name,
        tuple(_versions(name, now, serving)),
        f"{name}@{earlier[0]}" if earlier else "",
        now.at if now is not None else 0,
        now.requested_by if now is not None else "",
        now.ended if now is not None else "",
    )


def _versions(name: str, activation: Activation | None, serving: dict[str, tuple[str, ...]]) -> Iterator[ModelVersion]:
    canary = activation.canary if activation else None
    for number in sorted(registry.versions(name), reverse=True)[:_MOST_VERSIONS]:
        manifest = registry.manifest_of(name, number)
        yield ModelVersion(
            manifest.label,
            number,
            manifest.created_at,
            activation is not None and number == activation.version,
            canary.about if canary is not None and canary.version == number else "",
            serving.get(manifest.label, ()),
            tuple(sorted(manifest.metrics.items())[:8]),
            tuple(sorted(manifest.lineage.items())[:8]),
        )
