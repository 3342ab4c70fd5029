"""A version's files in chunks that each fit into a record of Kafka, and the version out of its chunks again.

A chunk is named by its file's SHA-256 and its number, so equal files of two versions are the same chunks. Whoever sends
chunks is not believed: `models.registry.place` compares every file with the manifest before there is a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from models.manifests import FileEntry, Manifest
from standfast.core.errors import ModelError

SIZE = 512 << 10  # bytes: half of the usual max.message.bytes


def keys(manifest: Manifest) -> Iterator[bytes]:
    """The names of all its chunks."""
    for entry in dict.fromkeys(manifest.files.values()):
        yield from (_key(entry, number) for number in range(_count(entry)))


def chunks(folder: Path, manifest: Manifest) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of the version in a folder; raises OSError."""
    for name, entry in manifest.files.items():
        with (folder / name).open("rb") as file:
            for number in range(_count(entry)):
                yield _key(entry, number), file.read(SIZE)


def assemble(manifest: Manifest, received: Iterable[tuple[bytes, bytes]], draft: Path) -> None:
    """Writes the files of a version into a folder, out of chunks in any order; others are passed over.

    Returns as soon as all are there, without taking more from `received`. Raises ModelError if some are missing.
    """
    wanted: dict[bytes, list[tuple[Path, int]]] = {}
    for name, entry in manifest.files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for number in range(_count(entry)):
            wanted.setdefault(_key(entry, number), []).append((path, number * SIZE))
    for key, content in received if wanted else ():
        if len(content) <= SIZE:
            for path, place in wanted.pop(key, ()):
                _write(path, place, content)
        if not wanted:
            break
    if wanted:
        raise ModelError(f"{len(wanted):,} chunks of {manifest.label} are missing")


def _write(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def _count(entry: FileEntry) -> int:
    return -(-entry.size // SIZE)


def _key(entry: FileEntry, number: int) -> bytes:
    return f"{entry.sha256}/{number}".encode()
