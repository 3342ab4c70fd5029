"""What a report has inside so that it can be checked: events, histories, terms; packed, gzipped, in base64.

The page is drawn from nothing else, so whoever has a page can draw it again and compare.
"""

from __future__ import annotations

import base64
import binascii
import gc
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import msgspec
import numpy as np
from msgspec import Struct

from drills.catalogue import find
from drills.evidence.circumstances import Circumstances
from drills.evidence.columns import columns
from drills.evidence.history import History
from drills.evidence.logbook import KeptDrill, digest_of, kept
from drills.evidence.ordinary import Ordinary, shortened
from drills.evidence.packed_history import PackedHistory, pack, unpack
from drills.evidence.terms import Terms
from drills.reports.drawing import thinned
from drills.reports.pictured import Pictured, pictured
from drills.reports.report import Story
from schemas.records import DrillEvent, Scalar
from standfast.core.errors import DrillRejected, Unreadable

MOST_WHOLE = 80_000  # requests of all drills of a page, about 10 bytes each; longer histories are shortened
DRAWN = 4_000  # requests of a latency chart
DETAILED = 20  # drills shown in detail, newest first; older ones only have a row in the table
_LARGEST = 200 * 2**20  # bytes, unpacked; nobody is to fill a memory with a small file


class EmbeddedDrill(Struct, frozen=True, omit_defaults=True):
    """One drill. `ordinary` and `pictured` are there if the history was shortened, and say what was left out of it.

    `told`: the events, as JSON. `runbook`: what the drill's file names for people.
    """

    told: bytes
    history: PackedHistory | None = None
    ordinary: Ordinary | None = None
    pictured: Pictured | None = None
    terms: Terms | None = None
    circumstances: Circumstances | None = None
    runbook: str = ""

    @property
    def story(self) -> Story:
        """Its events."""
        events = msgspec.json.decode(self.told, type=tuple[DrillEvent, ...])
        return Story(events[0].drill_id, events)


class Embedded(Struct, frozen=True):
    """All drills of a page, the oldest first; `standfast`: the version that wrote it."""

    standfast: str
    drills: list[EmbeddedDrill]


def embedded(stories: Sequence[Story]) -> Embedded:
    """These drills, with what this machine has kept of the newest twenty."""
    first_detailed = len(stories) - DETAILED
    with_history = [kept(story.drill_id) if number >= first_detailed else None for number, story in enumerate(stories)]
    most = MOST_WHOLE // max(1, sum(history is not None for history in with_history))
    drills = [_drill(story, history, most) for story, history in zip(stories, with_history, strict=True)]
    return Embedded(version("standfast"), drills)


def to_text(inside: Embedded) -> str:
    """The same as one line of base64."""
    packed = gzip.compress(msgspec.msgpack.encode(inside), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()


def from_text(text: str) -> Embedded:
    """What `to_text` made the text from; raises Unreadable."""
    try:
        packed = base64.b64decode(text, validate=True)
        unzip = zlib.decompressobj(wbits=31)
        data = unzip.decompress(packed, _LARGEST)
        if not unzip.eof or unzip.unused_data:
            raise Unreadable("the report's evidence is cut off, or larger than any that we write")
        return msgspec.msgpack.decode(data, type=Embedded)
    except (binascii.Error, ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise Unreadable(f"the report's evidence cannot be read: {error}") from None


def history_of(drill: EmbeddedDrill) -> History | None:
    """The history inside, without what is only counted; None if there is none. Raises Unreadable."""
    try:
        return None if drill.history is None else unpack(drill.history)
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _drill(story: Story, history: KeptDrill | None, most: int) -> EmbeddedDrill:
    """One drill, its history whole if it has at most so many requests."""
    runbook = _runbook(story.last.drill)
    if history is None or not history.requests:
        return EmbeddedDrill(_told(story), runbook=runbook)
    bare = History(history.requests, history.unexpected, history.faults, history.ended)
    known = EmbeddedDrill(_told(story), terms=history.terms, circumstances=history.circumstances, runbook=runbook)
    if len(bare.requests) <= most:
        return msgspec.structs.replace(known, history=pack(bare))
    seen = columns(bare)
    answered = np.flatnonzero(seen.is_answered)
    chosen = answered[thinned(seen.due[answered], seen.latency_us[answered], DRAWN)]
    short, ordinary = shortened(bare, seen, chosen)
    struck = min((fault.at for fault in bare.faults), default=float("inf"))
    return msgspec.structs.replace(
        known,
        history=pack(short),
        ordinary=msgspec.structs.replace(ordinary, digest=digest_of(story.drill_id)),
        pictured=pictured(seen, struck),
    )


def _told(story: Story) -> bytes:
    """The events; whole numbers of more than 64 bits, which any client may write, as texts: no decoder takes them."""
    return msgspec.json.encode(
        [
            msgspec.structs.replace(
                event,
                target=_small(event.target),
                params=_small(event.params),
                seed=event.seed if _fits(event.seed) else None,
            )
            for event in story.events
        ]
    )


def _small(values: dict[str, Scalar] | None) -> dict[str, Scalar] | None:
    return None if values is None else {key: value if _fits(value) else str(value) for key, value in values.items()}


def _fits(value: Scalar) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _runbook(drill: str) -> str:
    try:
        return find(drill).definition.runbook or ""
    except DrillRejected:  # a campaign, or a drill that is no longer in the catalogue
        return ""


@contextmanager
def _no_collections() -> Iterator[None]:
    """No garbage is collected meanwhile: with 10^6 requests that takes a second, and finds nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
