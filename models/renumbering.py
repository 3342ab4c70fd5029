"""A version whose number another host has given to another one is kept under a number of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from models import registry
from models.activations import Activation
from models.manifests import Manifest
from standfast.core.errors import IntegrityError

_LINEAGE = "renumbered"


def renumbered(name: str, version: int) -> Manifest:
    """The manifest of the same files under the next free number, which is active, or the challenger, if that one was.

    May be called again after it was killed: the number that was given then is found. The old folder stays; see
    `models.registry.withdraw`. Raises ModelError, IntegrityError.
    """
    manifest = registry.manifest_of(name, version)
    again = _given(manifest) or _published(manifest)
    now = registry.activation(name)
    if now is not None and now.digest_of(version) in {"", manifest.digest}:
        moved = _moved(now, version, again)
        if moved != now:
            registry.follow(name, moved, instead_of=now.digest)
    return again


def _moved(now: Activation, version: int, again: Manifest) -> Activation:
    """What serves, with the new number in place of the old one."""
    before = [again.version if number == version else number for number in now.before]
    if now.canary is not None and now.canary.version == version:
        canary = msgspec.structs.replace(now.canary, version=again.version, manifest=again.digest)
        return msgspec.structs.replace(now, before=before, canary=canary)
    if now.version == version:
        return msgspec.structs.replace(now, version=again.version, before=before, manifest=again.digest)
    return now


def _published(manifest: Manifest) -> Manifest:
    if problems := registry.verify(manifest.name, manifest.version):  # a new manifest would make them right
        raise IntegrityError(f"{manifest.label} is not the system's, and not whole: {problems[0]}; delete its folder")
    folder = registry.folder_of(manifest.name, manifest.version)
    return registry.publish(manifest.name, lambda draft: _linked(folder, manifest, draft))


def _given(manifest: Manifest) -> Manifest | None:
    for number in registry.versions(manifest.name):
        with suppress(IntegrityError):
            other = registry.manifest_of(manifest.name, number)
            if other.lineage.get(_LINEAGE) == _was(manifest):
                return other
    return None


def _linked(folder: Path, manifest: Manifest, draft: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
    """Hard links where the file system has them: a version may take hundreds of megabytes."""
    for name in manifest.files:
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / name, draft / name)
        except OSError:
            shutil.copyfile(folder / name, draft / name)
    return manifest.metrics, {**manifest.lineage, _LINEAGE: _was(manifest)}


def _was(manifest: Manifest) -> str:
    return f"{manifest.label} {manifest.digest}"
