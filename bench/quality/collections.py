"""Judged collections beside the checkout: SciFact (BEIR) and Cranfield."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from models.data.catalogue import Catalogue
from models.data.text import plain

_DATA = Path(__file__).parents[3] / "shared" / "data"
_DOCUMENT = re.compile(r"<docno>(.*?)</docno>.*?<title>(.*?)</title>.*?<text>(.*?)</text>", re.DOTALL)
_QUERY = re.compile(r"<title>(.*?)</title>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents as a catalogue, queries, and for each query the indices of the relevant documents."""

    name: str
    catalogue: Catalogue
    queries: list[str]
    relevant: list[set[int]]


def scifact(split: str) -> Collection:
    """SciFact's documents with the queries of `train` or `test`."""
    folder = _DATA / "scifact-beir"
    documents = [msgspec.json.decode(line) for line in _lines(folder / "corpus.jsonl.gz")]
    queries = {row["_id"]: row["text"] for row in map(msgspec.json.decode, _lines(folder / "queries.jsonl.gz"))}
    judged = (line.split("\t") for line in (folder / f"qrels-{split}.tsv").read_text().splitlines()[1:])
    texts = [f"{row['title']} {row['text']}" for row in documents]
    return _collection(f"SciFact {split}", [row["_id"] for row in documents], texts, queries, judged)


def cranfield() -> Collection:
    """Cranfield's documents and its 225 queries, which its judgements number from 1."""
    folder = _DATA / "cranfield"
    documents = _DOCUMENT.findall(_text(folder / "cran.all.1400.xml.gz"))
    queries = dict(enumerate(_QUERY.findall(_text(folder / "cran.qry.xml.gz")), 1))
    rows = (line.split() for line in _text(folder / "cranqrel.trec.txt.gz").splitlines())
    judged = ((query, document, grade) for query, _, document, grade in rows)
    texts = [f"{title.strip()}. {text.strip()}" for _, title, text in documents]
    by_number = {str(number): text for number, text in queries.items()}
    return _collection("Cranfield", [number for number, _, _ in documents], texts, by_number, judged)


def _collection(
    name: str, ids: list[str], texts: list[str], queries: dict[str, str], judged: Iterable[Iterable[str]]
) -> Collection:
    index_of = {document: index for index, document in enumerate(ids)}
    relevant: dict[str, set[int]] = {}
    for query, document, grade in judged:
        if int(grade) > 0 and document in index_of:
            relevant.setdefault(query, set()).add(index_of[document])
    catalogue = Catalogue(ids, texts, [plain(text) for text in texts], "")
    return Collection(name, catalogue, [plain(queries[query]) for query in relevant], list(relevant.values()))


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def _lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()
