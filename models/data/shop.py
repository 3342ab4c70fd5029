"""The shop in use: the user's own files when there are any, else the sample that ships with the package."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.data.catalogue import Catalogue, read_catalogue
from models.data.interactions import Interactions, read_interactions
from standfast.core.errors import DataError
from standfast.core.home import folder

_SAMPLE = Path(__file__).parent / "sample"
_CATALOGUE = ("catalogue.jsonl", "catalogue.jsonl.gz", "catalogue.csv", "catalogue.csv.gz")


@dataclass(frozen=True, slots=True)
class Imported:
    """What a load did: rows now in use, and one line for each reason rows were left out. `matched`: how many of the
    interactions in use are about products of the catalogue in use; None when there are no interactions."""

    file: str
    rows: int
    skipped: tuple[str, ...]
    matched: int | None = None
    hint: str = ""


def catalogue_path() -> Path:
    """The catalogue file in use."""
    return _own("catalogue") or _SAMPLE / "catalogue.jsonl.gz"


def interactions_path() -> Path | None:
    """The interactions file in use; None when the user brought a catalogue and no interactions.

    The sample's interactions are about the sample's products, so they never go with another catalogue.
    """
    own = _own("interactions")
    if own or _own("catalogue"):
        return own
    return _SAMPLE / "interactions.parquet"


def load_catalogue() -> Catalogue:
    """The products of the shop in use. Raises DataError."""
    return read_catalogue(catalogue_path())[0]


def load_interactions() -> Interactions | None:
    """The events of the shop in use; None when it has none yet. Raises DataError."""
    path = interactions_path()
    return read_interactions(path)[0] if path else None


def import_catalogue(path: Path) -> Imported:
    """Checks a catalogue and puts it in use; the file before it stays until the new one is whole."""
    catalogue, skipped = read_catalogue(_present(path))
    events = load_interactions() if _own("interactions") else None
    _put(path, "catalogue")
    matched = None if events is None else events.about(catalogue.item_ids)
    hint = "" if matched != 0 else "none of the interactions in use is about them; load those of this catalogue next"
    return Imported(str(path), len(catalogue), tuple(skipped.lines()), matched, hint)


def import_interactions(path: Path) -> Imported:
    """Checks interactions and puts them in use; the file before them stays until the new one is whole.

    Raises DataError when a catalogue of the user's own is in use, and none of the events is about its products.
    """
    events, skipped = read_interactions(_present(path))
    catalogue, hint = load_catalogue(), ""
    matched = events.about(catalogue.item_ids)
    if not matched and _own("catalogue"):
        raise DataError(f"{unmatched(events, catalogue)}; nothing was loaded. Load the catalogue they are about first")
    if not matched:
        hint = "none of them is about the sample's products; load your own with `standfast catalogue load FILE`"
    _put(path, "interactions")
    return Imported(str(path), len(events), tuple(skipped.lines()), matched, hint)


def check_match(catalogue: Catalogue, events: Interactions) -> None:
    """Raises DataError when none of the events is about a product of the catalogue."""
    if not events.about(catalogue.item_ids):
        own = _own("interactions")
        rid = f", or remove {own} to train from texts alone" if own else ""
        raise DataError(
            f"{unmatched(events, catalogue)}; load the interactions of this catalogue "
            f"(`standfast interactions load FILE`) or the catalogue they are about{rid}"
        )


def unmatched(events: Interactions, catalogue: Catalogue) -> str:
    """In words, that no event is about a product, with an id of each side to compare."""
    return (
        f"none of {len(events):,} interactions matches a product of the catalogue in use (they name "
        f"{events.items[events.item[0]]!r}, the catalogue has {catalogue.item_ids[0]!r})"
    )


def _present(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the path of one")
    return path


def _own(what: str) -> Path | None:
    """The user's file: the newest, should a kill have left the one before it beside it."""
    paths = [path for path in folder("shop").glob(f"{what}.*") if path.is_file()]
    return max(paths, key=lambda path: path.stat().st_mtime_ns, default=None)


def _put(path: Path, what: str) -> None:
    """Copies the file as it is (its format is told by its name), so that nothing of it is lost."""
    shop = folder("shop")
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    target = shop / f"{what}{suffix.lower()}"
    handle, name = tempfile.mkstemp(prefix=".load-", dir=shop)
    try:
        with os.fdopen(handle, "wb") as copy, path.open("rb") as source:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        Path(name).replace(target)
    except OSError as problem:
        Path(name).unlink(missing_ok=True)
        raise DataError(f"{path} could not be copied to {shop}: {problem}; free some space there") from problem
    for old in shop.glob(f"{what}.*"):
        if old != target:
            old.unlink(missing_ok=True)
