"""Every request that a finding rests on, in full: lost, doubled, wrong, late ones, and those that ended an outage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from drills.evidence.history import Request
from drills.evidence.terms import Terms
from drills.reports.again import Again

MOST_ROWS = 2_000  # of a list on the page
_SLOWEST = 5


@dataclass(frozen=True, slots=True)
class EvidenceList:
    """The requests behind the finding `about`; `total` says how many there are, `rows` has the first 2,000.

    A row has the texts of the columns: request, partition, offset, sent after the fault (s), latency (ms), answers.
    """

    about: str
    title: str
    total: int
    rows: Sequence[tuple[str, ...]]


COLUMNS = (
    "request",
    "partition",
    "offset",
    "due after the fault, s",
    "latency ms",
    "answers: partition/offset, worker",
)


def evidence_lists(seen: Again, terms: Terms | None) -> list[EvidenceList]:
    """The lists that are not empty, and the one behind the recovery time."""
    requests = seen.history.requests
    missing = [each for each in requests if each.sent == "acked" and not each.answers]
    deleted = [each for each in missing if any(fault.has_deleted(each) for fault in seen.history.faults)]
    lost = [each for each in missing if each not in deleted] if deleted else missing
    doubled = [each for each in requests if len(each.answers) > max(1, len(each.copies))]
    not_ok = [each for each in requests if each.answers and each.answers[0].status != "ok"]
    recovering = list(_recovering(seen))
    found = [
        _list(seen, "lost", "Lost: accepted by Kafka and never answered", lost),
        _list(seen, "deleted", "Deleted by the drill itself before they were read", deleted),
        _list(seen, "duplicated", "Answered more than once", doubled),
        _unexpected(seen.history.unexpected),
        _list(seen, "wrong", "Answered with another number of products than asked for", filter(_is_wrong, requests)),
        _list(seen, "not_ok", "Answered, but not ok", not_ok),
        _list(seen, "rto", "First answer of each struck partition to a request sent after the fault", recovering),
        *([_late(seen, terms)] if terms else ()),
        _list(seen, "unsent", "Not known to be in Kafka: these prove nothing", (
            each for each in requests if each.sent != "acked")),
    ]  # fmt: skip
    return [each for each in found if each.total]


def _late(seen: Again, terms: Terms) -> EvidenceList:
    limit = terms.objectives.p99_ms
    late = [each for each in seen.history.requests if (each.latency_ms or 0.0) > limit]
    if late:
        return _list(seen, "late", f"Late: answered after more than the {limit:g} ms of the objective", late)
    after = sorted(seen.windows["after"], key=lambda each: each.latency_ms or 0.0, reverse=True)[:_SLOWEST]
    return _list(seen, "late", f"None was later than the {limit:g} ms of the objective; the slowest after it", after)


def _recovering(seen: Again) -> Iterator[Request]:
    for fault in seen.history.faults:
        for partition in sorted(fault.partitions):
            later = [
                each
                for each in seen.history.requests
                if each.partition == partition and each.invoked >= fault.at and each.answers
            ]
            if later:
                yield min(later, key=lambda each: each.answered_at or 0.0)


def _is_wrong(request: Request) -> bool:
    counted = [answer.items for answer in request.answers if answer.status == "ok" and answer.items >= 0]
    return request.k > 0 and any(items != request.k for items in counted)


def _unexpected(ids: tuple[str, ...]) -> EvidenceList:
    rows = [(each, "", "", "", "", "") for each in ids[:MOST_ROWS]]
    return EvidenceList("unexpected", "Answers to requests that were never sent", len(ids), rows)


def _list(seen: Again, about: str, title: str, requests: Iterable[Request]) -> EvidenceList:
    all_ = list(requests)
    return EvidenceList(about, title, len(all_), [_row(each, seen.struck) for each in all_[:MOST_ROWS]])


def _row(request: Request, struck: float) -> tuple[str, ...]:
    answers = ", ".join(f"{each.partition}/{each.offset} {each.worker} {each.status}" for each in request.answers)
    ms = request.latency_ms
    return (
        request.request_id,
        str(request.partition),
        ", ".join(map(str, request.copies)) or (str(request.offset) if request.offset >= 0 else "not known"),
        f"{request.due - struck:+.3f}",
        "none" if ms is None else f"{ms:,.1f}",
        answers or request.sent,
    )
