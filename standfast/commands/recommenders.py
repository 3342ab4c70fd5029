"""What `standfast models` says of recommenders: which was chosen and why, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import typer

from standfast.commands.options import stdout
from standfast.core.errors import UsageError

if TYPE_CHECKING:
    from models.evaluation.splits import SplitName
    from models.manifests import Manifest
    from models.recommend.evaluation import Evaluation
    from models.training import Progress, Recommending


def wished(wish: Recommending, split: str | None) -> Recommending:
    """The wish with this split. Raises UsageError for a recommender or split that there is not."""
    from models.recommend.table import BLEND, TABLE

    names = (*TABLE, BLEND)
    if wish.model is not None and wish.model not in names:
        raise UsageError(f"there is no recommender {wish.model!r}; there are {', '.join(names)}")
    return replace(wish, split=None if split is None else checked_split(split))


def checked_split(name: str) -> SplitName:
    """The split of this name. Raises UsageError, which lists all names."""
    from models.evaluation.splits import SPLITS

    for known in SPLITS:
        if known == name:
            return known
    raise UsageError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")


def refused(manifest: Manifest) -> bool:
    """Whether the recommender was refused; says so on stderr, with the remedy."""
    name = manifest.lineage.get("refused", "none")
    if name == "none":
        return False
    serves = manifest.lineage["serves"]
    typer.echo(
        f"{name} was refused: {serves} is better for users it was not tuned for, and is published in its place; "
        f"`--force` publishes {name} all the same",
        err=True,
    )
    return True


def print_choice(manifest: Manifest) -> None:
    """The table of the recommenders that training tried, and what it chose."""
    from models import registry
    from models.recommend.training import CHOICE, Choice

    path = registry.folder_of(manifest.name, manifest.version) / CHOICE
    if not path.is_file():
        return
    choice = msgspec.json.decode(path.read_bytes(), type=Choice)
    rows = [(row.recommender, _figure(row.ndcg_10), f"{row.seconds:.1f} s", row.note) for row in choice.validation]
    if rows:
        _print(("recommender", "nDCG@10", "fitted in", "constants"), rows)
    why = "the best of these" if rows else "there are too few events to choose by"
    typer.echo(f"serves {choice.serves} (split {choice.split}): {why if not choice.refused else 'see below'}")


def evaluated(split: str, wish: Recommending, progress: Progress, encoder: str, device: str) -> Evaluation:
    """Quality of the recommenders on the shop in use. Raises DataError when it has no events."""
    from models.recommend.evaluation import evaluate
    from models.training import open_shop

    shop = open_shop(progress, encoder=encoder, device=device)
    return evaluate(shop, checked_split(split), wish, progress, device)


def print_evaluation(figures: Evaluation) -> None:
    """A table of the figures of an evaluation."""
    typer.echo(f"split {figures.split}, seed {figures.seed}, {figures.users:,} users; chosen: {figures.chosen}")
    rows = [
        (
            row.recommender,
            f"{row.ndcg_10:.4f} ({row.ndcg_low:.4f}-{row.ndcg_high:.4f})",
            f"{row.hit_10:.4f}",
            f"{row.recall_20:.4f}",
            row.constants,
        )
        for row in figures.rows
    ]
    _print(("recommender", "nDCG@10 (95 %)", "HR@10", "recall@20", "constants"), rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(*heading, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    stdout().print(table)
