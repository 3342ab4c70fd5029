"""A shop's judgements: which products are wanted for some queries, as TREC qrels and the queries beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from models.data.rows import Skipped
from models.data.text import plain
from standfast.core.errors import DataError


class Judgements(msgspec.Struct, frozen=True):
    """Queries, and for each the ids of the products that are wanted."""

    queries: list[str]
    wanted: list[list[str]]

    def __len__(self) -> int:
        return sum(map(len, self.wanted))


def read_judgements(qrels: Path, queries: Path) -> tuple[Judgements, Skipped]:
    """The judgements of lines `query_id 0 item_id grade`, for queries of lines `query_id<TAB>query`.

    Products of a grade of 0 or less are not wanted. Raises DataError for files that hold none.
    """
    skipped = Skipped(qrels)
    texts = _queries(queries)
    wanted: dict[str, dict[str, None]] = {}
    for number, cells in _lines(qrels, None):
        if len(cells) != 4 or not _is_grade(cells[3]):
            skipped.add("not `query_id 0 item_id grade`", number, " ".join(cells))
        elif cells[0] not in texts:
            skipped.add(f"a query_id that is not in {queries}", number, cells[0])
        elif int(cells[3]) <= 0:
            skipped.note("a grade of 0, for a product that is not wanted", number, cells[3])
        else:
            wanted.setdefault(cells[0], {})[cells[2]] = None
    skipped.judge(len(wanted), "judgements")
    return Judgements([texts[query] for query in wanted], [list(items) for items in wanted.values()]), skipped


def _queries(path: Path) -> dict[str, str]:
    skipped = Skipped(path)
    texts: dict[str, str] = {}
    for number, cells in _lines(path, "\t"):
        if len(cells) < 2 or not (text := plain(cells[1])):
            skipped.add("not `query_id<TAB>query`", number, "\t".join(cells))
        else:
            texts[cells[0].strip()] = text
    skipped.judge(len(texts), "queries")
    return texts


def _lines(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as text in UTF-8: {problem}; write it again") from problem
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line.split(separator)


def _is_grade(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal()
