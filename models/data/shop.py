"""The shop in use: the user's own files when there are any, else the sample that ships with the package."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.data.catalogue import Catalogue, read_catalogue
from models.data.interactions import Interactions, read_interactions
from models.data.judgements import Judgements, read_judgements
from standfast.core.errors import DataError
from standfast.core.home import folder
from standfast.core.keeping import write_whole

_SAMPLE = Path(__file__).parent / "sample"
_CATALOGUE = ("catalogue.jsonl", "catalogue.jsonl.gz", "catalogue.csv", "catalogue.csv.gz")


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of an import: the number of rows now in use, and a line for each reason for which rows were skipped.

    `matched`: how many of the interactions, or judgements, in use are about products of the catalogue in use, None
    without any.
    """

    file: str
    rows: int
    skipped: tuple[str, ...]
    matched: int | None = None
    hint: str = ""


def catalogue_path() -> Path:
    """The catalogue file in use."""
    return _imported_file("catalogue") or _SAMPLE / "catalogue.jsonl.gz"


def interactions_path() -> Path | None:
    """The interactions file in use; None when the user imported a catalogue and no interactions.

    The sample's interactions are about the sample's products, so they are not used with another catalogue.
    """
    own_file = _imported_file("interactions")
    if own_file or _imported_file("catalogue"):
        return own_file
    return _SAMPLE / "interactions.parquet"


def load_catalogue() -> Catalogue:
    """The products of the shop in use. Raises DataError."""
    return read_catalogue(catalogue_path())[0]


def load_interactions() -> Interactions | None:
    """The events of the shop in use; None when it has none yet. Raises DataError."""
    path = interactions_path()
    return read_interactions(path)[0] if path else None


def import_catalogue(path: Path) -> Imported:
    """Checks a catalogue and puts it in use; the previous one stays until the new one is complete. Raises DataError."""
    catalogue, skipped = read_catalogue(_existing(path))
    events = load_interactions() if _imported_file("interactions") else None
    _replace_file(path, "catalogue")
    matched = None if events is None else events.about(catalogue.item_ids)
    hint = "" if matched != 0 else "none of the interactions in use is about them; load those of this catalogue next"
    return Imported(str(path), len(catalogue), tuple(skipped.lines()), matched, hint)


def import_interactions(path: Path) -> Imported:
    """Checks interactions and puts them in use; the previous file stays until the new one is complete.

    Raises DataError for a file that does not hold interactions, and when none of them is about a product of the user's
    own catalogue.
    """
    events, skipped = read_interactions(_existing(path))
    catalogue, hint = load_catalogue(), ""
    matched = events.about(catalogue.item_ids)
    if not matched and _imported_file("catalogue"):
        raise DataError(f"{unmatched(events, catalogue)}; nothing was loaded. Load the catalogue they are about first")
    if not matched:
        hint = "none of them is about the sample's products; load your own with `standfast catalogue load FILE`"
    _replace_file(path, "interactions")
    return Imported(str(path), len(events), tuple(skipped.lines()), matched, hint)


def load_judgements() -> Judgements | None:
    """The judgements of the shop in use; None when it has none. Raises DataError for a damaged file."""
    path = _judgements_path()
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Judgements)
    except msgspec.DecodeError as problem:
        raise DataError(
            f"{path} cannot be read ({problem}); load the judgements again with `standfast judgements load`"
        ) from problem


def import_judgements(qrels: Path, queries: Path) -> Imported:
    """Checks judgements and puts them in use; the previous ones stay until the new ones are complete.

    Raises DataError for files that hold none, and when none is about a product of the catalogue in use.
    """
    judgements, skipped = read_judgements(_existing(qrels), _existing(queries))
    known = set(load_catalogue().item_ids)
    matched = sum(item_id in known for wanted in judgements.wanted for item_id in wanted)
    if not matched:
        raise DataError(
            f"none of {len(judgements):,} judgements is about a product of the catalogue in use (they name "
            f"{judgements.wanted[0][0]!r}); nothing was loaded. Load the catalogue they are about first"
        )
    try:
        write_whole(_judgements_path(), msgspec.json.encode(judgements))
    except OSError as problem:
        raise DataError(f"{_judgements_path()} could not be written: {problem}; free some space there") from problem
    return Imported(str(qrels), len(judgements), tuple(skipped.lines()), matched)


def _judgements_path() -> Path:
    return folder("shop") / "judgements.json"


def check_match(catalogue: Catalogue, events: Interactions) -> None:
    """Raises DataError when none of the events is about a product of the catalogue."""
    if not events.about(catalogue.item_ids):
        own_file = _imported_file("interactions")
        remedy = f", or remove {own_file} to train from texts alone" if own_file else ""
        raise DataError(
            f"{unmatched(events, catalogue)}; load the interactions of this catalogue "
            f"(`standfast interactions load FILE`) or the catalogue they are about{remedy}"
        )


def unmatched(events: Interactions, catalogue: Catalogue) -> str:
    """The message that no event is about a product, with an item id of each side to compare."""
    return (
        f"none of {len(events):,} interactions matches a product of the catalogue in use (they name "
        f"{events.items[events.item[0]]!r}, the catalogue has {catalogue.item_ids[0]!r})"
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the path of one")
    return path


def _imported_file(what: str) -> Path | None:
    """The user's file; the newest, because a process killed in `_replace_file` may have left the previous one."""
    paths = [path for path in folder("shop").glob(f"{what}.*") if path.is_file()]
    return max(paths, key=lambda path: path.stat().st_mtime_ns, default=None)


def _replace_file(path: Path, what: str) -> None:
    """Copies the file unchanged, under a name that keeps its format's suffix."""
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
