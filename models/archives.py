"""A published version as one file, to take it to another state folder or machine: a tar of its folder.

Only what the manifest names is read from an archive, and only with the sizes and digests that it says, so an archive
from anywhere can be tried: it holds no code, and nothing of it is written outside the draft of the new version.
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models import registry
from models.manifests import MANIFEST, Manifest, is_inside, mismatch, sealed_manifest
from standfast.core.errors import IntegrityError, ModelError

_LARGEST_MANIFEST = 16 << 20  # bytes
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
Member = tuple[tarfile.TarInfo, tarfile.TarFile]


def export_version(name: str, version: int, file: Path) -> Manifest:
    """Writes a version, after verifying it, into `file`: packed by gzip if it ends in `.gz` or `.tgz`.

    Raises ModelError or IntegrityError; `file` is then as it was before.
    """
    folder, manifest = registry.checked(name, version)
    partial = file.with_name(f"{file.name}.partial")
    try:
        with tarfile.open(partial, "w:gz" if file.suffix in {".gz", ".tgz"} else "w") as archive:
            for path in (MANIFEST, *manifest.files):  # the manifest first: by it the others are read
                archive.add(folder / path, f"{manifest.label}/{path}", recursive=False)
        partial.replace(file)
    except OSError as error:
        raise ModelError(f"{manifest.label} cannot be written to {file}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def import_version(file: Path) -> Manifest:
    """Publishes the version in an archive under the next number of its model, not yet active; returns its manifest.

    Its metrics and lineage are the same; the lineage says besides which version it was. Raises ModelError for a file
    that is no such archive or lacks some of its files, IntegrityError for one that was changed.
    """
    with tempfile.TemporaryDirectory(prefix="standfast-") as aside, _opened(file) as members:
        manifest = _manifest(file, next(members, None), Path(aside))

        def fill(draft: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
            _extract(file, members, manifest, draft)
            return manifest.metrics, {**manifest.lineage, "imported": f"{manifest.label} {manifest.digest}"}

        return registry.publish(manifest.name, fill)


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[Member]]:
    """The members of an archive, as they come; a damaged one raises ModelError at any of them."""
    try:
        with tarfile.open(file, "r:*") as archive:
            yield ((member, archive) for member in archive)
    except _DAMAGED as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition(":\n")[0]
        raise ModelError(f"{file} cannot be read as a model's archive: {why}; write one with `models export`") from None


def _manifest(file: Path, member: Member | None, aside: Path) -> Manifest:
    if member is None or _name(member[0]) != MANIFEST or member[0].size > _LARGEST_MANIFEST:
        raise ModelError(f"{file} does not begin with a model's {MANIFEST}; write one with `models export`")
    return sealed_manifest(_copied(member, aside / MANIFEST))


def _extract(file: Path, members: Iterator[Member], manifest: Manifest, draft: Path) -> None:
    for member in members:
        name = _name(member[0])
        entry = manifest.files.get(name)
        if entry is None or not member[0].isreg() or not is_inside(name):
            raise IntegrityError(f"{file} holds {member[0].name!r}, which is no file of {manifest.label}")
        if member[0].size != entry.size:
            raise IntegrityError(f"{file}: {name} has {member[0].size:,} bytes, the manifest says {entry.size:,}")
        if problem := mismatch(_copied(member, draft / name), entry):
            raise IntegrityError(f"{file}: {problem}")
    if missing := [name for name in manifest.files if not (draft / name).is_file()]:
        raise ModelError(f"{file} lacks {', '.join(missing)} of {manifest.label}: it was cut; copy it again")


def _name(member: tarfile.TarInfo) -> str:
    """The member's path in the version's folder."""
    return member.name.partition("/")[2]


def _copied(member: Member, target: Path) -> Path:
    info, archive = member
    source = archive.extractfile(info)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as written:
        if source is not None:
            shutil.copyfileobj(source, written)
    return target
