"""Whether a report's file is as it was written, and whether its verdicts follow from the evidence inside it.

Three questions, each of which refuses by itself:

1. Does the file's digest belong to its bytes? Any change by accident or by hand shows here, except by someone who also
   writes a new digest.
2. Does the page, drawn again from the evidence, give the same bytes? So the visible page cannot say anything else than
   the evidence. Only asked where this Standfast is of the version that wrote the file.
3. Does the verdict of each drill, computed anew from its history and its terms, equal that of its final event?

What none of them can tell: whether somebody invented the evidence as a whole. For that the file has to be compared with
the outcome stream in Kafka, or with the history that the drill runner's machine keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, Literal

from msgspec import Struct

from drills.campaigns.conductor import is_campaign
from drills.gamedays import hidden
from drills.gamedays.desk import is_game_day
from drills.reports.again import again, judged_again
from drills.reports.embedding import Embedded, EmbeddedDrill, from_text
from drills.reports.page import drawn_from
from drills.reports.sealing import is_sealed
from standfast.core.errors import Unreadable

_EVIDENCE = re.compile(rb'<template id="standfast-evidence">([A-Za-z0-9+/=]*)</template>')
Trust = Literal["confirmed", "refused", "unknown"]
CODES: Final[dict[Trust, int]] = {"confirmed": 0, "refused": 1, "unknown": 2}


class VerifiedDrill(Struct, frozen=True):
    """What became of one drill's verdict: computed anew and the same, another one, or not computable."""

    drill_id: str
    verdict: str
    trust: Trust
    reason: str


class Verified(Struct, frozen=True):
    """The whole file: `refused` if anything is, else `unknown` if a drill is, else `confirmed`."""

    trust: Trust
    reasons: list[str]
    drills: list[VerifiedDrill]


def verified(data: bytes) -> Verified:
    """What can be said of the bytes of a report's file."""
    if not is_sealed(data):
        return _refused("the file was changed after it was written: its digest does not belong to it")
    found = _EVIDENCE.findall(data)
    if len(found) != 1:
        return _refused(f"the file has {len(found)} pieces of evidence instead of one")
    text = found[0].decode()
    try:
        inside = from_text(text)
        drills = [_drill(each) for each in inside.drills]
        reasons = list(_drawn_again(text, inside, data))
    except (Unreadable, ValueError, LookupError, TypeError) as error:
        return _refused(f"the evidence inside cannot be used: {error}")
    worst: Trust = "confirmed"
    if reasons or any(each.trust == "refused" for each in drills):
        worst = "refused"
    elif inside.standfast != version("standfast") or any(each.trust == "unknown" for each in drills):
        worst = "unknown"
        if inside.standfast != version("standfast"):
            reasons = [
                f"written by Standfast {inside.standfast}: the page was not drawn again by {version('standfast')}"
            ]
    return Verified(worst, reasons, drills)


def _refused(why: str) -> Verified:
    return Verified("refused", [why], [])


def _drawn_again(text: str, inside: Embedded, data: bytes) -> Iterator[str]:
    if inside.standfast == version("standfast") and drawn_from(text).encode() != data:
        yield "the page says something else than the evidence inside it: drawn again, it is not the same"


def _drill(drill: EmbeddedDrill) -> VerifiedDrill:
    story = drill.story
    last = story.last

    def told(trust: Trust, reason: str) -> VerifiedDrill:
        return VerifiedDrill(story.drill_id, story.verdict, trust, reason)

    has_figures = last.phase == "completed" and last.lost is not None  # a dry run has none
    if not has_figures or last.injected is None or is_game_day(last) or is_campaign(last):
        return told("confirmed", "there is no verdict to compute: it has none of its own, or did not run to its end")
    seen = again(drill)
    if seen is None:
        return told("unknown", "its history is not in the file: the machine that wrote it had none")
    if drill.terms is None:
        return told("unknown", "its history was kept by a version that did not keep what it was judged by")
    anew = judged_again(last, drill.terms, seen)
    untold = {"findings"} if last.drill == hidden.NAME else set[str]()  # of a game day they are not published
    names = [name for name in last.__struct_fields__ if name not in untold]
    other = [name for name in names if getattr(anew, name) != getattr(last, name)]
    if other:
        return told("refused", f"computed anew from its history, it has another {', '.join(other)}")
    count = f"{seen.measured.sent:,} requests"
    if drill.ordinary is None:
        return told("confirmed", f"computed anew from all {count}")
    inside = f"{len(seen.history.requests):,} of {count}; the others are only counted"
    return told("confirmed", f"computed anew from {inside}" + (", hypothesis not" if drill.terms.hypothesis else ""))
