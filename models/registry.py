"""Published models: folders of files, each with a manifest of their sizes and digests.

    models/<name>/<version>/manifest.json     files with sizes and digests, metrics, lineage
                           /…                 safetensors, npy and JSON files; never pickle
    models/<name>/active.json                 the version that serves, those before it, the challenger (`Activation`)
    models/<name>/.last                       the highest version number ever given, so that none is given twice

A version is written into a draft folder, which is then renamed, so a killed trainer leaves no version in part.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from models.activations import Activation, before, is_sealed, sealed_activation
from models.canary import Canary
from models.drafts import DRAFT, draft_of, files_in, sync, sync_tree
from models.manifests import (
    MANIFEST,
    Manifest,
    encoded,
    entry_of,
    foreign_file,
    mismatch,
    read_struct,
    sealed,
    sealed_manifest,
)
from standfast.core.errors import IntegrityError, ModelError, UsageError
from standfast.core.home import folder
from standfast.core.keeping import write_whole

_ACTIVE = "active.json"
_LAST = ".last"


def publish(
    name: str,
    fill: Callable[[Path], tuple[Mapping[str, float], Mapping[str, str]]],
) -> Manifest:
    """A new version of `name`, not yet active: `fill` writes its files into a folder, returns its metrics and lineage.

    Trainers that publish at the same time get different versions. Raises ModelError when the files cannot be written.
    """
    model_folder = _model_folder(name)
    with draft_of(model_folder, f"{os.getpid()}-{secrets.token_hex(4)}") as draft:
        metrics, lineage = fill(draft)
        files = {file: entry_of(draft / file) for file in files_in(draft)}
        with _locked(model_folder):
            number = _next_number(name)
            manifest = sealed(Manifest(name, number, _now(), files, dict(metrics), dict(lineage)))
            _place(draft, manifest, model_folder)
    return manifest


def place(manifest: Manifest, fill: Callable[[Path], object]) -> None:
    """Publishes a version that was made elsewhere, under its own number: `fill` writes its files into a folder.

    Nothing is left if a file is not what the manifest says. A folder of that number that is damaged is replaced; one of
    another version is not. Raises ModelError, IntegrityError.
    """
    if (foreign := foreign_file(manifest)) is not None or sealed(manifest) != manifest:
        wrong = f"its file {foreign!r} is none of a model" if foreign is not None else "its digest is not its own"
        raise IntegrityError(f"{manifest.label} is refused: {wrong}")
    model_folder = _model_folder(manifest.name)
    with draft_of(model_folder, f"placed-{manifest.version}") as draft:
        fill(draft)
        for file, entry in manifest.files.items():
            if problem := mismatch(draft / file, entry):
                raise IntegrityError(f"{manifest.label} is refused: {problem}")
        with _locked(model_folder):
            _make_way(model_folder, manifest)
            _place(draft, manifest, model_folder)


def withdraw(name: str, version: int) -> None:
    """Deletes a version that no process serves; its number is not given again."""
    model_folder = _model_folder(name)
    gone = model_folder / f"{DRAFT}gone-{secrets.token_hex(4)}"
    with _locked(model_folder):
        _keep_number(model_folder, _next_number(name) - 1)
        (model_folder / str(version)).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def reserve(name: str, number: int) -> None:
    """Has the next version get a higher number than this one, which another host has given."""
    model_folder = _model_folder(name)
    with _locked(model_folder):
        if _next_number(name) <= number:
            _keep_number(model_folder, number)


def _place(draft: Path, manifest: Manifest, model_folder: Path) -> None:
    (draft / MANIFEST).write_bytes(encoded(manifest))
    sync_tree(draft)
    draft.rename(model_folder / str(manifest.version))
    _keep_number(model_folder, max(manifest.version, _next_number(manifest.name) - 1))
    sync(model_folder)


def _make_way(model_folder: Path, manifest: Manifest) -> None:
    """Moves a damaged folder of the version aside. Raises ModelError for one of another version."""
    there = model_folder / str(manifest.version)
    with suppress(IntegrityError):
        if sealed_manifest(there / MANIFEST).digest != manifest.digest:
            raise ModelError(f"{there} holds another {manifest.label}; it is given another number first")
    if there.exists():
        there.rename(model_folder / f"{DRAFT}damaged-{secrets.token_hex(4)}")


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
    pointer = _readable(name)
    numbers_pointed_to = [*pointer.before, *pointer.needed] if pointer else []
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
    manifest = manifest_of(name, number)
    if _digest_activated(name, number) not in {"", manifest.digest}:
        raise IntegrityError(f"{name}@{number} here is not the one that was activated; {_remedy(name, number)}")
    return folder_of(name, number), manifest


def _digest_activated(name: str, version: int) -> str:
    """The digest of the version that was activated under this number; empty if none was, or it is not known."""
    now = _readable(name)
    return now.digest_of(version) if now else ""


def active(name: str) -> int | None:
    """The version that serves, if any. Raises IntegrityError when `active.json` was damaged."""
    pointer = activation(name)
    return pointer.version if pointer else None


def activation(name: str) -> Activation | None:
    """What serves, the challenger beside it, and what is known of how it came. Raises IntegrityError as `active`."""
    path = _model_folder(name) / _ACTIVE
    if not path.is_file():
        return None
    try:
        pointer = read_struct(path, Activation)
    except IntegrityError as problem:
        raise IntegrityError(f"{problem}; {_remedy(name)}") from problem
    if not is_sealed(name, pointer):
        raise IntegrityError(f"{path} was damaged; {_remedy(name)}")
    return pointer


def _readable(name: str) -> Activation | None:
    """What serves; None also where `active.json` was damaged."""
    try:
        return activation(name)
    except IntegrityError:
        return None


def serving(name: str) -> tuple[int | None, Canary | None, str]:
    """The active version, its challenger if its files are here, and why the last one ended by itself."""
    now = activation(name)
    if now is None:
        return None, None, ""
    lacks = now.canary is not None and now.canary.version not in versions(name)  # another host has begun it
    return now.version, None if lacks else now.canary, now.ended


def served_before(name: str, version: int) -> list[int]:
    """The published versions that were active before this one, the last one first; not verified."""
    pointer, there = _readable(name), versions(name)
    earlier = pointer.before if pointer else []
    return list(dict.fromkeys(number for number in reversed(earlier) if number in there and number != version))


def activate(name: str, version: int, requested_by: str = "") -> None:
    """Makes a version the serving one, after verifying it; ends a canary. A running system follows within a second.

    Activating the active one once more says that it is wanted now: other hosts, where another one may serve, follow.
    """
    digest = _digest_of_whole(name, version)
    with _locked(_model_folder(name)):
        now = _readable(name)  # a damaged one is replaced
        _point(name, Activation(version, before(now, version), digest, _now(), requested_by))


def begin_canary(name: str, version: int, share: float, *, shadow: bool, requested_by: str = "") -> Activation:
    """Has a version compute beside the one that serves, after verifying it; or changes the share of the one that does.

    Raises ModelError when nothing is active, UsageError when it is the version that serves.
    """
    digest = _digest_of_whole(name, version)
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is None:
            raise ModelError(f"no {name} model is active; run `standfast models activate {name}@{version}`")
        if now.version == version:
            raise UsageError(f"{name}@{version} is the version that serves; only another one can be its challenger")
        at, was = _now(), now.canary
        goes_on = was is not None and (was.version, was.manifest) == (version, digest)
        canary = Canary(version, share, shadow, was.since if was is not None and goes_on else at, digest)
        return _change(name, now, canary=canary, at=at, requested_by=requested_by)


def end_canary(name: str, canary: Canary, reason: str, requested_by: str = "standfast") -> bool:
    """Ends this canary, whatever its share, for a reason that is kept; False if it is over already."""
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is None or not canary.is_same(now.canary):
            return False
        _change(name, now, ended=reason, at=_now(), requested_by=requested_by)
    return True


def rollback(name: str, requested_by: str = "") -> int:
    """Ends a canary; without one, activates the last version that served before and is whole. Returns what serves then.

    Raises ModelError when there is none.
    """
    with _locked(_model_folder(name)):
        now = activation(name)
        if now is not None and now.canary is not None:
            _change(name, now, at=_now(), requested_by=requested_by)
            return now.version
        earlier = list(now.before) if now else []
        while earlier and (earlier[-1] not in versions(name) or verify(name, earlier[-1])):
            earlier.pop()
        if not earlier:
            remedy = _remedy(name, now.version if now else None)
            raise ModelError(f"{name} has no version to go back to that is whole; {remedy}")
        version = earlier.pop()
        digest = manifest_of(name, version).digest
        _point(name, Activation(version, earlier, digest, _now(), requested_by))
    return version


def follow(name: str, wanted: Activation, instead_of: str) -> bool:
    """Writes an activation as it is, unless `active.json` is not the one with the digest `instead_of` any more.

    Empty: there was none that could be read. Raises ModelError if this host's version is another one or not whole; its
    challenger may be missing.
    """
    if manifest_of(name, wanted.version).digest != wanted.manifest or verify(name, wanted.version):
        raise IntegrityError(f"{name}@{wanted.version} here is not whole, or not the one that was activated")
    with _locked(_model_folder(name)):
        now = _readable(name)
        if (now.digest if now else "") != instead_of:
            return False
        _point(name, wanted)
    return True


def _digest_of_whole(name: str, version: int) -> str:
    """The digest of a version's manifest, after its files were verified."""
    manifest = manifest_of(name, version)
    if problems := verify(name, version):
        raise IntegrityError(f"{name}@{version}: {problems[0]}; {_remedy(name, version)}")
    return manifest.digest


def _change(
    name: str, now: Activation, *, canary: Canary | None = None, ended: str = "", at: int, requested_by: str
) -> Activation:
    """Has the same version serve with another challenger, or none."""
    manifest = now.manifest or manifest_of(name, now.version).digest  # without one: of an earlier release
    changed = msgspec.structs.replace(
        now, manifest=manifest, canary=canary, ended=ended, at=at, requested_by=requested_by
    )
    _point(name, changed)
    return changed


def _point(name: str, activation: Activation) -> None:
    model_folder = _model_folder(name)
    write_whole(model_folder / _ACTIVE, msgspec.json.encode(sealed_activation(name, activation)))
    sync(model_folder)


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


def _now() -> int:
    return int(time.time() * 1000)
