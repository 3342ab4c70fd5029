"""Folders that are filled and then renamed into a model's folder, so that a killed trainer leaves no part of one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from models.manifests import ALLOWED
from standfast.core.errors import ModelError

DRAFT = ".draft-"
_ABANDONED_AFTER_S = 24 * 3600


@contextmanager
def draft_of(model_folder: Path, name: str) -> Iterator[Path]:
    """An empty folder to be filled and renamed; what is left of it when the block ends or fails is deleted.

    Raises ModelError where it cannot be written.
    """
    _sweep(model_folder)
    draft = model_folder / f"{DRAFT}{name}"
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    try:
        draft.mkdir()
        yield draft
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{model_folder.name} could not be written below {model_folder}: {problem}; free some space there"
        ) from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def files_in(draft: Path) -> list[str]:
    """The files of a draft, relative to it. Raises ModelError if one is none of a model, or there is none."""
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    wrong = [path.name for path in files if path.suffix not in ALLOWED]
    if wrong or not files:
        raise ModelError(f"a model is safetensors, npy and JSON files; found {', '.join(wrong) or 'nothing'}")
    return [path.relative_to(draft).as_posix() for path in files]


def sync_tree(root: Path) -> None:
    """Has a folder and all in it outlive a power cut."""
    for path in [*root.rglob("*"), root]:
        sync(path)


def sync(path: Path) -> None:
    """Has a file, or a folder's names, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(model_folder: Path) -> None:
    """Removes drafts that killed trainers left, a day old or older."""
    for draft in model_folder.glob(f"{DRAFT}*"):
        with suppress(FileNotFoundError):  # its process has just renamed it
            if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(draft, ignore_errors=True)
