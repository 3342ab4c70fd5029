"""What the page tells of one drill, drawn from its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from drills.evidence.columns import columns
from drills.evidence.terms import Terms
from drills.gamedays.desk import is_game_day
from drills.gamedays.reactions import TIMED, Reaction, reaction
from drills.reports import drill_charts
from drills.reports.again import Again, again
from drills.reports.circumstance_groups import CircumstanceGroup, circumstance_groups
from drills.reports.drawing import Table, table_of
from drills.reports.embedding import EmbeddedDrill
from drills.reports.evidence_lists import COLUMNS, MOST_ROWS, EvidenceList, evidence_lists
from drills.reports.margins import Margin, margins
from drills.reports.pictured import Pictured, pictured
from drills.reports.report import Story
from schemas.records import DrillEvent, Scalar

_CHECKS = ("injected", "held", "undone")
_MARKS = {"passed": "✔", "failed": "✘", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding's check and text, and the anchor of the requests behind it, empty without any."""

    check: str
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class ShownVerdict:
    """One of the three answers with its findings; `mark` and the word say the same as the colour."""

    name: str
    check: str
    mark: str
    findings: Sequence[ShownFinding]


def _after(seen: Reaction) -> str:
    return "before it" if seen.after_ms is None else f"{seen.after_ms / 1000:.1f}"


class DrillSection:
    """One drill on the page. Raises Unreadable for evidence that is none."""

    def __init__(self, drill: EmbeddedDrill) -> None:
        self._drill = drill
        self.story: Story = drill.story
        self.last: DrillEvent = self.story.last
        seen = again(drill)
        self.seen: Again | None = seen if seen is not None and (seen.history.requests or drill.ordinary) else None

    @property
    def is_shortened(self) -> bool:
        """Whether ordinary requests are only counted in the evidence."""
        return self._drill.ordinary is not None

    @property
    def requests(self) -> int:
        """How many requests there were, 0 if the history is not inside."""
        return self.seen.measured.sent if self.seen else 0

    @property
    def digest(self) -> str:
        """Of the whole history, where it was shortened."""
        return self._drill.ordinary.digest if self._drill.ordinary else ""

    @property
    def target(self) -> Sequence[tuple[str, Scalar]]:
        """Whom the fault struck."""
        target = self.last.target or next((event.target for event in self.story.events if event.target), None)
        return list((target or {}).items())

    @cached_property
    def lists(self) -> list[EvidenceList]:
        """The requests behind the findings."""
        return evidence_lists(self.seen, self._terms) if self.seen else []

    def verdicts(self) -> Iterator[ShownVerdict]:
        """The three answers that are known."""
        findings = [] if self._is_of_people else list(self._findings())
        last = self.last
        for name, check in zip(_CHECKS, (last.injected, last.held, last.undone), strict=True):
            if check:
                of_it = [finding for whose, finding in findings if whose == name]
                yield ShownVerdict(name, check, _MARKS[check], of_it)

    def other_findings(self) -> list[ShownFinding]:
        """Findings that belong to none of these answers: of a campaign, or of people on a game day."""
        is_alone = self._is_of_people or not self.last.injected
        return [finding for _, finding in self._findings()] if is_alone else []

    def reactions(self) -> Markup:
        """What people did on a game day, and how long after the fault; empty for a drill."""
        seen = [found for event in self.story.events if (found := reaction(event.params or {}))]
        rows = [(each.by, each.team, TIMED.get(each.action, "noted"), each.text, _after(each)) for each in seen]
        table = Table(("who", "team", "what", "note", "s after the fault"), rows, frozenset({4}))
        return table_of(table, "What people did") if rows else Markup("")

    @property
    def _is_of_people(self) -> bool:
        return is_game_day(self.last)

    def margins(self) -> list[Margin]:
        """Each objective, what was seen, and what was left of it."""
        return margins(self.seen.measured, self._terms.objectives) if self.seen and self._terms else []

    def charts(self) -> Iterator[Markup]:
        """The drawings."""
        if self.story.events[-1].at != self.story.events[0].at:
            yield drill_charts.phases(self.story.events)
        if self.seen is None:
            yield drill_charts.latency_of_event(self.last)
            return
        seen_by = self._pictured(self.seen)
        yield drill_charts.latency_of_all(self.seen, seen_by, self._terms)
        yield drill_charts.quantiles(self.seen)
        yield drill_charts.partitions(self.seen, seen_by)
        yield drill_charts.throughput(self.seen, seen_by)

    def list_table(self, shown: EvidenceList) -> Markup:
        """The requests of one list."""
        left_out = f"The first {MOST_ROWS:,} of {shown.total:,}; all are in the evidence." if (
            shown.total > len(shown.rows)) else ""  # fmt: skip
        return table_of(Table(COLUMNS, shown.rows, frozenset({1, 3, 4}), left_out), f"{shown.title} ({shown.total:,})")

    def circumstances(self) -> list[CircumstanceGroup]:
        """Under which it ran."""
        params = next((event.params for event in self.story.events if event.params), None)
        seed = next((event.seed for event in self.story.events if event.seed is not None), None)
        return circumstance_groups(self._drill.circumstances, params, seed, self.last.requested_by)

    @property
    def _terms(self) -> Terms | None:
        return self._drill.terms

    def _pictured(self, seen: Again) -> Pictured:
        return self._drill.pictured or pictured(columns(seen.history), seen.struck)

    def _findings(self) -> Iterator[tuple[str, ShownFinding]]:
        """Each finding of the final event with whose it is: the first of the injection, then those of what held."""
        lines = self.last.findings or []
        about = dict[str, str]()
        if self.seen and self._terms:
            about = {finding.line: finding.about for finding in self.seen.findings(self._terms)}
        anchors = {each.about for each in self.lists}
        undone = len(lines) - (2 if self._terms and self._terms.broken else 1)
        for number, line in enumerate(lines):
            check, _, text = line.partition(": ")
            rests_on = about.get(line, "")
            anchor = f"{self.story.drill_id}.{rests_on}" if rests_on in anchors else ""
            whose = "injected" if number == 0 else "undone" if number == undone else "held"
            yield whose, ShownFinding(check if text else "", text or line, anchor)
