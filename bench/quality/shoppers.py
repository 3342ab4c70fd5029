"""Sixty searches of shoppers on the sample shop, with the products judged to be wanted: `tests/judged`, as TREC files.

`queries.tsv` has the searches, eight kinds of them, `qrels.txt` the products. The answers to every third search of a
kind were not looked at while search was worked on: `unseen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "tests" / "judged"


@dataclass(frozen=True, slots=True)
class Judged:
    """A search, its name such as `misspelt-03`, and the ids of the wanted products."""

    name: str
    text: str
    wanted: frozenset[str]

    @property
    def unseen(self) -> bool:
        """Whether nobody looked at this search's answers while search was worked on."""
        return int(self.name[-2:]) % 3 == 0


def judged() -> list[Judged]:
    """All of them, in the order of the file."""
    wanted: dict[str, set[str]] = {}
    for line in (_FOLDER / "qrels.txt").read_text().splitlines():
        name, _, item_id, _ = line.split()
        wanted.setdefault(name, set()).add(item_id)
    rows = (line.split("\t") for line in (_FOLDER / "queries.tsv").read_text().splitlines())
    return [Judged(name, text, frozenset(wanted[name])) for name, text in rows]
