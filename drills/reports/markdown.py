"""Drills as Markdown, for a pull request, a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from drills.reports.report import Story, number
from schemas.records import DrillEvent, Latency
from standfast.core.printable import one_line

_MARKS = {"passed": "✔", "failed": "✘", "unknown": "?"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@-])")


def markdown_text(stories: Sequence[Story]) -> str:
    """The newest first: a table of all, then the details of each."""
    newest = list(reversed(stories))
    lines = ["# Drills", "", *_table(newest)] if len(newest) > 1 else []
    for story in newest:
        lines += ["", *_details(story)]
    return "\n".join(lines).strip() + "\n"


def _table(stories: Sequence[Story]) -> Iterator[str]:
    yield "| when | drill | id | verdict | RTO ms | lost | doubled | out of order | score |"
    yield "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for story in stories:
        last = story.last
        figures = (last.rto_ms, last.lost, last.duplicated, last.out_of_order, last.score)
        cells = [_when(story), _escaped(last.drill), _escaped(story.drill_id), story.verdict, *map(number, figures)]
        yield f"| {' | '.join(cells)} |"


def _details(story: Story) -> Iterator[str]:
    last = story.last
    yield f"## {_escaped(last.drill)}: {story.verdict}"
    yield ""
    yield f"{_escaped(story.drill_id)}, {_when(story)}" + (f": {_escaped(last.reason)}" if last.reason else "")
    if last.injected or last.held or last.undone:
        yield ""
        yield "| injected | held | undone | RTO ms | lost | doubled | out of order | score |"
        yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
        checks = [f"{_MARKS[check]} {check}" if check else "-" for check in (last.injected, last.held, last.undone)]
        figures = (last.rto_ms, last.lost, last.duplicated, last.out_of_order, last.score)
        yield f"| {' | '.join([*checks, *map(number, figures)])} |"
    yield from _latencies(last)
    if last.findings:
        yield ""
        for line in last.findings:
            check, _, text = line.partition(": ")
            yield f"- {_MARKS[check]} {_escaped(text)}" if check in _MARKS else f"- {_escaped(line)}"


def _latencies(last: DrillEvent) -> Iterator[str]:
    windows = (("before", last.latency_before), ("during", last.latency_during), ("after", last.latency_after))
    if not any(latency for _, latency in windows):
        return
    yield ""
    yield "| latency ms | answers | p50 | p99 | max |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, latency in windows:
        known = latency or Latency(count=0)
        yield f"| {name} | {' | '.join(map(number, (known.count, known.p50_ms, known.p99_ms, known.max_ms)))} |"


def _when(story: Story) -> str:
    return datetime.fromtimestamp(story.events[0].at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _escaped(text: str) -> str:
    """The text on one line with nothing in it that Markdown would take for markup: any client may have written it."""
    return _SPECIAL.sub(r"\\\1", one_line(text))
