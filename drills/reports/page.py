"""The report as one self-contained HTML page: no script, nothing loaded from elsewhere, light, dark and print.

Jinja2 escapes all texts of events, since any client may write to the outcome stream. The page is drawn from what it has
inside alone (`embedding`), with times in UTC, so the same evidence gives the same page on any machine.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment

from drills.reports.drawing import stylesheet
from drills.reports.drawing.page_parts import environment
from drills.reports.drill_section import DrillSection
from drills.reports.embedding import DETAILED, embedded, from_text, to_text
from drills.reports.report import Story, number
from drills.reports.sealing import UNSEALED, sealed
from drills.reports.standing import score_of, standings


def page(stories: Sequence[Story]) -> str:
    """The page for these drills, the newest first, with what this machine has kept of them."""
    return drawn_from(to_text(embedded(stories)))


def drawn_from(evidence: str) -> str:
    """The page with this evidence, a text of `embedding.to_text`, inside; raises Unreadable."""
    inside = from_text(evidence)
    stories = [drill.story for drill in inside.drills]
    runbooks = {story.last.drill: drill.runbook for story, drill in zip(stories, inside.drills, strict=True)}
    known = standings(stories, runbooks)
    text = _templates().get_template("page.html").render(
        summary=_summary(stories),
        newest=list(reversed(stories)),
        sections=[DrillSection(drill) for drill in reversed(inside.drills[-DETAILED:])],
        standings=known,
        score=score_of(each.row for each in known),
        standfast=inside.standfast,
        evidence=evidence,
        stylesheet=stylesheet(),
        style_digest=base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode(),
        unsealed=UNSEALED,
    )  # fmt: skip
    return sealed(text)


def utc(at_ms: int) -> str:
    """Date and time in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _summary(stories: Sequence[Story]) -> str:
    counts = {verdict: sum(1 for story in stories if story.verdict == verdict) for verdict in
              ("passed", "failed", "unknown", "aborted", "rejected", "running")}  # fmt: skip
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{len(stories)} from {utc(stories[0].events[0].at)} to {utc(stories[-1].last.at)}: {counted}"


@cache
def _templates() -> Environment:
    templates = environment(Path(__file__).with_name("templates"))
    templates.filters.update(utc=utc, number=number)
    return templates
