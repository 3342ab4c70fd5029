"""The manifest of a published version: its files with sizes and digests, its metrics and lineage, and its own digest.

Name, number and the manifest's digest together are a version's identity: two hosts may each have trained `search@2`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from standfast.core.errors import IntegrityError

MANIFEST = "manifest.json"
ALLOWED = frozenset({".safetensors", ".npy", ".json"})
_S = TypeVar("_S")


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a version."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """A version's files, quality metrics and lineage. `digest` covers all other fields."""

    name: str
    version: int
    created_at: int
    files: dict[str, FileEntry]
    metrics: dict[str, float]
    lineage: dict[str, str]
    digest: str = ""

    @property
    def label(self) -> str:
        """As answers carry it: `search@3`."""
        return f"{self.name}@{self.version}"


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with its digest."""
    bare = msgspec.json.encode(msgspec.structs.replace(manifest, digest=""), order="sorted")
    return msgspec.structs.replace(manifest, digest=hashlib.sha256(bare).hexdigest())


def encoded(manifest: Manifest) -> bytes:
    """The manifest as its file holds it."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def sealed_manifest(path: Path) -> Manifest:
    """The manifest in a file, checked against its own digest. Raises IntegrityError."""
    manifest = read_struct(path, Manifest)
    if sealed(manifest) != manifest or path.read_bytes() != encoded(manifest):
        raise IntegrityError(f"{path} was changed after it was published")
    return manifest


def read_struct(path: Path, kind: type[_S]) -> _S:
    """The struct in a JSON file. Raises IntegrityError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise IntegrityError(f"{path} cannot be read ({problem})") from problem


def entry_of(path: Path) -> FileEntry:
    """Digest and size of a file. Raises OSError."""
    with path.open("rb") as file:
        return FileEntry(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def mismatch(path: Path, entry: FileEntry) -> str | None:
    """How a file differs from what its manifest says; None if it does not."""
    try:
        actual = entry_of(path)
    except OSError as problem:
        return f"{path} cannot be read ({problem.strerror})"
    if actual.size != entry.size:
        return f"{path} has {actual.size:,} bytes, the manifest says {entry.size:,}"
    if actual.sha256 != entry.sha256:
        return f"{path} has SHA-256 {actual.sha256[:12]}…, the manifest says {entry.sha256[:12]}…"
    return None


def is_inside(name: str) -> bool:
    """Whether a file of that name lies within the version's folder."""
    return bool(name) and not name.startswith("/") and ".." not in PurePosixPath(name).parts and "\0" not in name


def foreign_file(manifest: Manifest) -> str | None:
    """A file name in a manifest from elsewhere that no version may have, of those that could hold code or lie outside
    the version's folder; None if all are fine.
    """
    for name in manifest.files:
        if not is_inside(name) or PurePosixPath(name).suffix not in ALLOWED or name == MANIFEST:
            return name
    return None
