"""A history in few bytes, column by column and without loss: what unpacks is equal to what was packed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from msgspec import Struct

from drills.evidence.history import Fault, History, Request, Sent, Sighting
from drills.evidence.packed_numbers import (
    Ints,
    PackedFloats,
    PackedInts,
    pack_floats,
    pack_ints,
    unpack_floats,
    unpack_ints,
)

_SENT: tuple[Sent, ...] = ("acked", "failed", "unknown")


class PackedAnswers(Struct, frozen=True):
    """The answers of all requests, by request. `offset` lies in order of partition, `worker` in that of requests'."""

    texts: list[str]  # of statuses and workers
    at: PackedFloats
    partition: PackedInts
    offset: PackedInts
    status: PackedInts
    worker: PackedInts
    written_ms: PackedInts
    items: PackedInts


class PackedHistory(Struct, frozen=True):
    """A history. `ids` are the numbers behind `prefix`; if not all ids have that form, `texts` has all of them."""

    prefix: str
    ids: PackedInts
    texts: list[str]
    partition: PackedInts
    due: PackedFloats
    invoked: PackedFloats
    sent: PackedInts
    offset: PackedInts
    k: PackedInts
    answered: PackedInts
    copies: dict[int, list[int]]
    answers: PackedAnswers
    unexpected: list[str]
    faults: list[Fault]
    ended: float


def pack(history: History) -> PackedHistory:
    """The history, packed."""
    requests = history.requests
    prefix, numbers = _numbered([request.request_id for request in requests])
    partition = _ints("partition", requests)
    due = np.array([request.due for request in requests], dtype=np.float64)
    answered = np.array([len(request.answers) for request in requests], dtype=np.int64)
    return PackedHistory(
        prefix=prefix,
        ids=pack_ints(numbers),
        texts=[] if len(numbers) == len(requests) else [request.request_id for request in requests],
        partition=pack_ints(partition),
        due=pack_floats(due),
        invoked=pack_floats([request.invoked for request in requests], near=due),
        sent=pack_ints([_SENT.index(request.sent) for request in requests]),
        offset=pack_ints(_ints("offset", requests)[_by(partition)]),
        k=pack_ints(_ints("k", requests)),
        answered=pack_ints(answered),
        copies={number: list(request.copies) for number, request in enumerate(requests) if request.copies},
        answers=_pack_answers(requests, np.repeat(due, answered), np.repeat(partition, answered)),
        unexpected=list(history.unexpected),
        faults=list(history.faults),
        ended=history.ended,
    )


def unpack(packed: PackedHistory) -> History:
    """The history; raises ValueError for what `pack` did not write."""
    try:
        return History(tuple(_requests(packed)), tuple(packed.unexpected), tuple(packed.faults), packed.ended)
    except (IndexError, OverflowError) as error:
        raise ValueError(f"this is no packed history: {error}") from None


def _pack_answers(requests: Sequence[Request], due: np.ndarray, of_partition: Ints) -> PackedAnswers:
    answers = [answer for request in requests for answer in request.answers]
    texts = list(dict.fromkeys(text for answer in answers for text in (answer.status, answer.worker)))
    code = {text: number for number, text in enumerate(texts)}
    at = np.array([answer.at for answer in answers], dtype=np.float64)
    partition = _ints("partition", answers)
    worker = np.array([code[answer.worker] for answer in answers], dtype=np.int64)
    return PackedAnswers(
        texts=texts,
        at=pack_floats(at, near=due),
        partition=pack_ints(partition),
        offset=pack_ints(_ints("offset", answers)[np.lexsort((at, partition))]),
        status=pack_ints([code[answer.status] for answer in answers]),
        worker=pack_ints(worker[_by(of_partition)]),
        written_ms=pack_ints(_ints("written_ms", answers) - _ms(at)),
        items=pack_ints(_ints("items", answers)),
    )


def _requests(packed: PackedHistory) -> list[Request]:
    partition = unpack_ints(packed.partition)
    due, answered = unpack_floats(packed.due), unpack_ints(packed.answered)
    answers = _answers(packed.answers, np.repeat(due, answered), np.repeat(partition, answered))
    ends = np.cumsum(answered).tolist()
    ids = packed.texts or [f"{packed.prefix}{number}" for number in unpack_ints(packed.ids).tolist()]
    columns = (
        ids,
        partition.tolist(),
        due.tolist(),
        unpack_floats(packed.invoked, near=due).tolist(),
        [_SENT[code] for code in unpack_ints(packed.sent).tolist()],
        _back(unpack_ints(packed.offset), _by(partition)).tolist(),
        [tuple(answers[end - count : end]) for end, count in zip(ends, answered.tolist(), strict=True)],
        unpack_ints(packed.k).tolist(),
        [tuple(packed.copies.get(number, ())) for number in range(len(ids))],
    )
    return [Request(*row) for row in zip(*columns, strict=True)]


def _answers(packed: PackedAnswers, due: np.ndarray, of_partition: Ints) -> list[Sighting]:
    at, partition = unpack_floats(packed.at, near=due), unpack_ints(packed.partition)
    worker = _back(unpack_ints(packed.worker), _by(of_partition))
    columns = (
        at.tolist(),
        partition.tolist(),
        _back(unpack_ints(packed.offset), np.lexsort((at, partition))).tolist(),
        [packed.texts[code] for code in unpack_ints(packed.status).tolist()],
        [packed.texts[code] for code in worker.tolist()],
        (unpack_ints(packed.written_ms) + _ms(at)).tolist(),
        unpack_ints(packed.items).tolist(),
    )
    return [Sighting(*row) for row in zip(*columns, strict=True)]


def _ints(name: str, rows: Sequence[Request] | Sequence[Sighting]) -> Ints:
    return np.fromiter(map(attrgetter(name), rows), dtype=np.int64, count=len(rows))


def _ms(at: np.ndarray) -> Ints:
    return np.asarray(np.rint(at * 1000), dtype=np.int64)


def _by(partition: Ints) -> Ints:
    return np.argsort(partition, kind="stable")


def _back(values: Ints, order: Ints) -> Ints:
    """What `values[order]` was made from."""
    back = np.empty_like(values)
    back[order] = values
    return back


def _numbered(ids: Sequence[str]) -> tuple[str, list[int]]:
    """What all ids begin with, and the number behind it; no numbers if they are not of that form."""
    prefix = ids[0].rstrip("0123456789") if ids else ""
    numbers = [int(rest) for text in ids if (rest := text.removeprefix(prefix)).isascii() and rest.isdecimal()]
    fits = len(numbers) == len(ids) and all(
        text == f"{prefix}{number}" for text, number in zip(ids, numbers, strict=True)
    )
    return (prefix, numbers) if fits and max(numbers, default=0) < 2**62 else ("", [])
