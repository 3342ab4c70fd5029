"""Server-sent events: the panels of a page that changed, and how old everything is.

The id of an event is the read positions. A page is drawn from the topics up to those positions, so a reader who comes
back with an id is sent what the page is now, and misses nothing and sees nothing twice. A console that was restarted
says nothing until it has read as far as that reader was.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

import msgspec
from sse_starlette import ServerSentEvent

from console.hub import Draw, Hub, Panel

_MOST_A_SECOND = 4
_TICK_S = 1.0
_CATCH_UP_S = 10.0  # at most: a topic that was deleted and made again never gets as far


async def updates(
    hub: Hub, page: Sequence[Panel], argument: str, draw: Draw, last_id: str
) -> AsyncIterator[ServerSentEvent]:
    """The events of one reader, at most four a second: several changes in between become one. Without a change there is
    one a second, with the ages alone: more of them would use up the four.
    """
    await _caught_up(hub, last_id)
    sent: dict[str, str] = {}
    sent_at: deque[float] = deque([float("-inf")] * _MOST_A_SECOND, maxlen=_MOST_A_SECOND)
    while True:
        await asyncio.sleep(max(0.0, sent_at[0] + 1.0 - time.monotonic()))
        panels = hub.drawn(page, argument, draw)
        view = hub.look()
        changed = {name: html for name, html in panels.items() if sent.get(name) != html}
        if changed or time.monotonic() - sent_at[-1] > _TICK_S:
            sent |= changed
            sent_at.append(time.monotonic())
            data = msgspec.json.encode({"panels": changed, "ages": view.ages_ms()}).decode()
            yield ServerSentEvent(data, event="update", id=view.snapshot.positions or None)
        await hub.newer(view.number, _TICK_S)


def reached(positions: str, wanted: str) -> bool:
    """Whether each partition of `wanted` was read as far; of one that was not read yet nothing is known."""
    now = _parsed(positions)
    return all(now.get(place, -1) >= offset for place, offset in _parsed(wanted).items())


def _parsed(positions: str) -> dict[str, int]:
    pairs = (pair.partition("=") for pair in positions.split())
    return {
        place: int(offset) for place, _, offset in pairs if offset.isascii() and offset.isdecimal() and len(offset) < 20
    }


async def _caught_up(hub: Hub, wanted: str) -> None:
    deadline = time.monotonic() + _CATCH_UP_S
    while not reached(hub.view.snapshot.positions, wanted) and time.monotonic() < deadline:
        await hub.newer(hub.view.number, _TICK_S)
