"""A drill's verdict, computed anew from the evidence inside a report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec

from drills.control.events import bounded
from drills.evidence.checker import Measured, measure, split
from drills.evidence.history import History, Request
from drills.evidence.ordinary import WINDOWS, Ordinary, latencies_ms, measured_with
from drills.evidence.probes import HistoryView
from drills.evidence.terms import Terms, verdict_fields
from drills.evidence.verdict import Finding, held_findings
from drills.reports.embedding import EmbeddedDrill, history_of
from schemas.records import DrillEvent


@dataclass(frozen=True)
class Again:
    """One drill's history with its figures. `ordinary`: the requests that are only counted, None if there are none."""

    history: History
    ordinary: Ordinary | None = None

    @cached_property
    def measured(self) -> Measured:
        """The figures."""
        return measure(self.history) if self.ordinary is None else measured_with(self.history, self.ordinary)

    @cached_property
    def struck(self) -> float:
        """When the first fault struck, or the first request was due: the zero of drawings."""
        at = [fault.at for fault in self.history.faults] or [request.due for request in self.history.requests]
        return min(at, default=0.0)

    @cached_property
    def windows(self) -> dict[str, list[Request]]:
        """The requests before, during and after, without those that are only counted."""
        first = min((fault.at for fault in self.history.faults), default=float("inf"))
        return dict(zip(WINDOWS, split(self.history.requests, first, self.measured.over_at), strict=True))

    def latencies_ms(self, window: str) -> list[float]:
        """The latencies of all requests of a window, ascending."""
        counted = latencies_ms(self.ordinary, window) if self.ordinary is not None else []
        return sorted([*(ms for each in self.windows[window] if (ms := each.latency_ms) is not None), *counted])

    def findings(self, terms: Terms) -> list[Finding]:
        """Each finding with what it is about; without those of a hypothesis."""
        return held_findings(self.measured, terms.objectives)


def again(drill: EmbeddedDrill) -> Again | None:
    """What the drill's evidence says; None without a history. Raises Unreadable."""
    history = history_of(drill)
    return None if history is None else Again(history, drill.ordinary)


def judged_again(last: DrillEvent, terms: Terms, seen: Again) -> DrillEvent:
    """The final event as it has to be by the terms and the evidence.

    Of a shortened history a hypothesis cannot be computed anew; its findings are taken from the event.
    """
    if seen.ordinary is None:
        view = HistoryView(seen.history, seen.measured)
        expected = [each.finding(view) for each in terms.hypothesis]
    else:
        expected = _told(last, len(terms.hypothesis), bool(terms.broken))
    return bounded(
        msgspec.structs.replace(last, **msgspec.structs.asdict(verdict_fields(terms, seen.measured, expected)))
    )


def _told(last: DrillEvent, count: int, is_broken: bool) -> list[Finding]:
    """The findings of the hypothesis in the event: before that of the undo, and the one of a broken load."""
    lines = (last.findings or [])[: -2 if is_broken else -1]
    found = []
    for line in lines[len(lines) - count :] if count else []:
        check, _, text = line.partition(": ")
        found.append(Finding("passed" if check == "passed" else "failed" if check == "failed" else "unknown", text))
    return found
