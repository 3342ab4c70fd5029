"""Drills as JUnit XML, which CI servers read: a suite for each drill, a case for each finding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from drills.reports.report import Story
from schemas.records import DrillEvent

# XML 1.0 has no place for these, not even escaped; any client may write them into an event.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(stories: Sequence[Story]) -> str:
    """The document. A failed finding is a failure, an unknown one an error, a refused drill is skipped."""
    root = Xml.Element("testsuites", name="standfast drills")
    for story in stories:
        root.append(_suite(story))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _suite(story: Story) -> Xml.Element:
    first, last = story.events[0], story.last
    suite = Xml.Element(
        "testsuite",
        name=_clean(f"{last.drill} {story.drill_id}"),
        timestamp=datetime.fromtimestamp(first.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        time=f"{(last.at - first.at) / 1000:.3f}",
    )
    for name, outcome, text in _cases(last):
        case = Xml.SubElement(suite, "testcase", classname=_clean(last.drill), name=_clean(name))
        if outcome != "passed":
            Xml.SubElement(case, outcome, message=_clean(text))
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    _add_figures(suite, last)
    return suite


def _cases(last: DrillEvent) -> Iterator[tuple[str, str, str]]:
    """Name, outcome (`passed` or the tag) and text of each case; without findings one case for the verdict."""
    outcomes = {"passed": "passed", "failed": "failure", "unknown": "error"}
    lines = [line.partition(": ") for line in last.findings or ()]
    for check, _, text in lines:
        if check in outcomes:
            yield text, outcomes[check], text
    if not any(check in outcomes for check, _, _ in lines):
        verdict = last.verdict or "running"
        outcome = outcomes.get(verdict, "skipped" if verdict in {"rejected", "running"} else "error")
        yield f"verdict {verdict}", outcome, last.reason or f"the drill is {verdict}"


def _add_figures(suite: Xml.Element, last: DrillEvent) -> None:
    figures = {"verdict": last.verdict, "rto_ms": last.rto_ms, "lost": last.lost, "duplicated": last.duplicated,
               "out_of_order": last.out_of_order, "score": last.score, "seed": last.seed}  # fmt: skip
    properties = Xml.Element("properties")
    for name, value in figures.items():
        if value is not None:
            Xml.SubElement(properties, "property", name=name, value=str(value))
    suite.insert(0, properties)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
