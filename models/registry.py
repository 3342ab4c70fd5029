"""Published models: folders of files, each with a manifest of their sizes and digests.

    models/<name>/<version>/manifest.json     files with sizes and digests, metrics, lineage
                           /…                 safetensors, npy and JSON files; never pickle
    models/<name>/active.json                 the version that serves, those before it, the challenger (`activation`)
    models/<name>/.last                       the highest version number ever given, so that none is given twice

A version is written into a draft folder, which is then renamed, so a killed trainer leaves no version in part.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from safetensors import SafetensorError

from models.activation import Activation, Canary
from standfast.core.errors import IntegrityError, ModelError, UsageError
from standfast.core.home import folder
from standfast.core.keeping import write_whole

MANIFEST = "manifest.json"
_ACTIVE = "active.json"
_LAST = ".last"
_DRAFT = ".draft-"
_ALLOWED = frozenset({".safetensors", ".npy", ".json"})
_ABANDONED_AFTER_S = 24 * 3600
_KEPT_HISTORY = 20
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


def publish(
    name: str,
    fill: Callable[[Path], tuple[Mapping[str, float], Mapping[str, str]]],
) -> Manifest:
    """A new version of `name`, not yet active: `fill` writes its files into a folder, returns its metrics and lineage.

    Trainers that publish at the same time get different versions. Raises ModelError when the files cannot be written.
    """
    model_folder = _model_folder(name)
    _sweep(model_folder)
    draft = model_folder / f"{_DRAFT}{os.getpid()}-{secrets.token_hex(4)}"
    draft.mkdir()
    try:
        metrics, lineage = fill(draft)
        files = {file: _entry(draft / file) for file in _files_in(draft)}
        with _locked(model_folder):
            number = _next_number(name)
            manifest = _sealed(Manifest(name, number, _now(), files, dict(metrics), dict(lineage)))
            (draft / MANIFEST).write_bytes(_bytes(manifest))
            _sync_tree(draft)
            draft.rename(model_folder / str(number))
            _keep_number(model_folder, number)
            _sync(model_folder)
    except (OSError, SafetensorError) as problem:
        shutil.rmtree(draft, ignore_errors=True)
        raise ModelError(
            f"{name} could not be written below {model_folder}: {problem}; free some space there"
        ) from problem
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def names() -> list[str]:
    """Names with a version or an `active.json`; folders that no model can be called (`search-backup`) are ignored."""
    folder_names = [path.name for path in folder("models").iterdir() if path.is_dir() and path.name.isidentifier()]
    return sorted(name for name in folder_names if _numbered(name) or (_model_folder(name) / _ACTIVE).is_file())


def versions(name: str) -> list[int]:
    """The published versions, oldest first; a folder without a manifest is none."""
    return [number for number in _numbered(name) if (_model_folder(name) / str(number) / MANIFEST).is_file()]


def half_versions(name: str) -> list[int]:
    """Numbers whose folder has no manifest: it was copied or deleted in part."""
    return sorted(set(_numbered(name)) - set(versions(name)))


def _numbered(name: str) -> list[int]:
    """Numbers that have a folder. A folder `01` is not one: `publish` writes no leading zero."""
    folder_names = [path.name for path in _model_folder(name).iterdir() if path.is_dir() and path.name.isdecimal()]
    return sorted(int(number) for number in folder_names if number == str(int(number)))


def _next_number(name: str) -> int:
    """One more than any number ever given, also to deleted versions: `search@3` in an answer must name one version."""
    last_file = _model_folder(name) / _LAST
    try:
        numbers_given = [int(last_file.read_text())]
    except (FileNotFoundError, ValueError):  # of a release without this file, or damaged: the folders tell
        numbers_given = []
    try:
        pointer = activation(name)
    except IntegrityError:
        pointer = None
    numbers_pointed_to = [pointer.version, *pointer.before] if pointer else []
    return max([*numbers_given, *numbers_pointed_to, *_numbered(name)], default=0) + 1


def _keep_number(model_folder: Path, number: int) -> None:
    write_whole(model_folder / _LAST, str(number).encode())


def folder_of(name: str, version: int) -> Path:
    """The folder of a published version. Raises ModelError when there is no such version."""
    path = _model_folder(name) / str(version)
    if not (path / MANIFEST).is_file():
        published = ", ".join(map(str, versions(name))) or "none"
        raise ModelError(f"{name}@{version} is not published (there: {published}); {_remedy(name, version)}")
    return path


def manifest_of(name: str, version: int) -> Manifest:
    """A version's manifest, checked against its own digest. Raises IntegrityError."""
    path = folder_of(name, version) / MANIFEST
    manifest = sealed_manifest(path)
    if (manifest.name, manifest.version) != (name, version):
        raise IntegrityError(f"{path} describes {manifest.label}, not {name}@{version}")
    return manifest


def sealed_manifest(path: Path) -> Manifest:
    """The manifest in a file, checked against its own digest. Raises IntegrityError."""
    manifest = _read(path, Manifest)
    if _sealed(manifest) != manifest or path.read_bytes() != _bytes(manifest):
        raise IntegrityError(f"{path} was changed after it was published")
    return manifest


def verify(name: str, version: int) -> list[str]:
    """What is wrong with a version's files, one line for each; empty when all are as published."""
    path = folder_of(name, version)
    try:
        manifest = manifest_of(name, version)
    except IntegrityError as problem:
        return [str(problem)]
    return [wrong for file, entry in manifest.files.items() if (wrong := mismatch(path / file, entry))]


def verify_all(name: str) -> dict[str, list[str]]:
    """What is wrong with each version and with `active.json`, by label; an empty list where nothing is."""
    problems = {f"{name}@{number}": verify(name, number) for number in versions(name)}
    for number in half_versions(name):
        path = _model_folder(name) / str(number)
        problems[f"{name}@{number}"] = [f"{path} has no {MANIFEST}, so nothing can serve it; delete the folder"]
    try:
        pointer = activation(name)
    except IntegrityError as problem:
        problems[name] = [str(problem)]
        return problems
    if pointer and pointer.version not in versions(name):
        gone = f"{name}@{pointer.version} is active, but it is gone; {_remedy(name, pointer.version)}"
        problems.setdefault(f"{name}@{pointer.version}", []).append(gone)
    return problems


def _remedy(name: str, version: int | None = None) -> str:
    """The command to run: activate the newest other version whose files verify, else train."""
    for other in sorted(set(versions(name)) - {version}, reverse=True):
        if not verify(name, other):
            return f"run `standfast models activate {name}@{other}`"
    return f"run `standfast models train {name}`"


def checked(name: str, version: int | None = None) -> tuple[Path, Manifest]:
    """Folder and manifest of a version (the active one when None), after its files were verified.

    Raises ModelError when nothing is published or active, IntegrityError naming the first wrong file.
    """
    number = active(name) if version is None else version
    if number is None:
        raise ModelError(f"no {name} model is active; run `standfast models train {name}`")
    problems = verify(name, number)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise IntegrityError(f"{name}@{number}: {problems[0]}{more}; {_remedy(name, number)}")
    return folder_of(name, number), manifest_of(name, number)


def active(name: str) -> int | None:
    """The version that serves, if any. Raises IntegrityError when `active.json` was damaged."""
    pointer = activation(name)
    return pointer.version if pointer else None


def activation(name: str) -> Activation | None:
    """The version that serves and the challenger beside it, if any. Raises IntegrityError when it was damaged."""
    path = _model_folder(name) / _ACTIVE
    if not path.is_file():
        return None
    try:
        pointer = _read(path, Activation)
    except IntegrityError as problem:
        raise IntegrityError(f"{problem}; {_remedy(name)}") from problem
    if pointer.sealed(name) != pointer:
        raise IntegrityError(f"{path} was damaged; {_remedy(name)}")
    return pointer


def served_before(name: str, version: int) -> list[int]:
    """The published versions that were active before this one, the last one first; not verified."""
    try:
        pointer = activation(name)
    except IntegrityError:
        return []
    there = versions(name)
    earlier = pointer.before if pointer else []
    return list(dict.fromkeys(number for number in reversed(earlier) if number in there and number != version))


def activate(name: str, version: int) -> None:
    """Makes a version the serving one, after verifying it; ends a canary. A running system follows within a second."""
    checked(name, version)
    with _locked(_model_folder(name)):
        try:
            now = activation(name)
        except IntegrityError:
            now = None  # a damaged active.json is replaced
        before = now.before if now else []
        if now and now.version != version:
            before = [*before, now.version][-_KEPT_HISTORY:]
        _point(name, Activation(version, before))


def begin_canary(name: str, version: int, share: float, *, shadow: bool) -> Activation:
    """Has a version compute beside the one that serves, after verifying it; or changes the share of the one that does.

    Raises ModelError when nothing is active, UsageError when it is the version that serves.
    """
    checked(name, version)
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is None:
            raise ModelError(f"no {name} model is active; run `standfast models activate {name}@{version}`")
        if now.version == version:
            raise UsageError(f"{name}@{version} is the version that serves; only another one can be its challenger")
        goes_on = now.canary is not None and now.canary.version == version
        since = now.canary.since if now.canary is not None and goes_on else _now()
        begun = msgspec.structs.replace(now, canary=Canary(version, share, shadow, since), ended="")
        _point(name, begun)
    return begun


def end_canary(name: str, canary: Canary, reason: str) -> bool:
    """Ends this canary, whatever its share, for a reason that is kept; False if it is over already."""
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is None or not canary.is_same(now.canary):
            return False
        _point(name, msgspec.structs.replace(now, canary=None, ended=reason))
    return True


def rollback(name: str) -> int:
    """Ends a canary; without one, activates the last version that served before and is whole. Returns what serves then.

    Raises ModelError when there is none.
    """
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is not None and now.canary is not None:
            _point(name, Activation(now.version, now.before))
            return now.version
        earlier = [number for number in (now.before if now else []) if number in versions(name)]
        while earlier and verify(name, earlier[-1]):
            earlier.pop()
        if not earlier:
            remedy = _remedy(name, now.version if now else None)
            raise ModelError(f"{name} has no version to go back to that is whole; {remedy}")
        _point(name, Activation(earlier[-1], earlier[:-1]))
    return earlier[-1]


def _point(name: str, pointer: Activation) -> None:
    model_folder = _model_folder(name)
    write_whole(model_folder / _ACTIVE, msgspec.json.encode(pointer.sealed(name)))
    _sync(model_folder)


def _model_folder(name: str) -> Path:
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no model name; use letters, digits and _")
    return folder("models", name)


@contextmanager
def _locked(model_folder: Path) -> Iterator[None]:
    """Holds the lock for changes to a model's folder; the kernel releases it when the process dies."""
    with (model_folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path, kind: type[_S]) -> _S:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise IntegrityError(f"{path} cannot be read ({problem})") from problem


def _sealed(manifest: Manifest) -> Manifest:
    bare = msgspec.json.encode(msgspec.structs.replace(manifest, digest=""), order="sorted")
    return msgspec.structs.replace(manifest, digest=hashlib.sha256(bare).hexdigest())


def _bytes(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def _files_in(draft: Path) -> list[str]:
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    wrong = [path.name for path in files if path.suffix not in _ALLOWED]
    if wrong or not files:
        raise ModelError(f"a model is safetensors, npy and JSON files; found {', '.join(wrong) or 'nothing'}")
    return [path.relative_to(draft).as_posix() for path in files]


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return FileEntry(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def mismatch(path: Path, entry: FileEntry) -> str | None:
    """How a file differs from what its manifest says; None if it does not."""
    try:
        actual = _entry(path)
    except OSError as problem:
        return f"{path} cannot be read ({problem.strerror})"
    if actual.size != entry.size:
        return f"{path} has {actual.size:,} bytes, the manifest says {entry.size:,}"
    if actual.sha256 != entry.sha256:
        return f"{path} has SHA-256 {actual.sha256[:12]}…, the manifest says {entry.sha256[:12]}…"
    return None


def _sweep(model_folder: Path) -> None:
    """Removes drafts that killed trainers left, a day old or older."""
    for draft in model_folder.glob(f"{_DRAFT}*"):
        if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_S:
            shutil.rmtree(draft, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> int:
    return int(time.time() * 1000)
