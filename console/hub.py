"""The newest snapshot and figures for all pages, drawn once for all who look, and a signal for newer ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from console.figures import Measures, Measuring
from console.snapshot import Snapshot

_MEASURE_S = 1.0
_LOOKED_S = 10.0  # so long after the last look at a page figures are still read
_MOST_DRAWN = 64  # panels


@dataclass(frozen=True, slots=True)
class View:
    """What one page is drawn from: a snapshot and the figures beside it."""

    number: int
    snapshot: Snapshot
    measures: Measures

    def ages_ms(self) -> dict[str, int]:
        """The age of each source, `kafka` and `metrics`, in milliseconds."""
        return {
            "kafka": round(self.snapshot.age_s * 1000),
            "metrics": round((time.monotonic() - self.measures.at) * 1000),
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a page that is replaced by itself; `source`: `kafka` or `metrics`, whose age it shows."""

    name: str
    title: str
    source: Literal["kafka", "metrics"] = "kafka"


Draw = Callable[[str, View, str], str]


class Hub:
    """Used on the asyncio loop, but for `publish`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._measuring = Measuring()
        self._looked_at = float("-inf")
        self._drawn: dict[tuple[str, str], tuple[int, str]] = {}
        self.view = View(0, Snapshot(0, "", "Kafka has not answered yet", time.monotonic()), self._measuring.now)

    def publish(self, snapshot: Snapshot) -> None:
        """Makes this the newest snapshot; may be called from any thread."""
        self._loop.call_soon_threadsafe(lambda: self._set(snapshot, self._measuring.now))

    async def newer(self, number: int, within_s: float) -> None:
        """Returns when there is a newer view than that number, or after `within_s` seconds."""
        if self.view.number == number:
            try:
                await asyncio.wait_for(self._changed.wait(), within_s)
            except TimeoutError:
                return

    def look(self) -> View:
        """The newest view; whoever calls this wants figures for the next seconds."""
        self._looked_at = time.monotonic()
        return self.view

    def drawn(self, panels: Sequence[Panel], argument: str, draw: Draw) -> dict[str, str]:
        """The HTML of these panels by name, drawn once for each change of their source however many look at it."""
        view = self.look()
        return {panel.name: self._drawn_once(panel, view, argument, draw) for panel in panels}

    def _drawn_once(self, panel: Panel, view: View, argument: str, draw: Draw) -> str:
        number = view.snapshot.number if panel.source == "kafka" else view.number
        drawn, html = self._drawn.pop((panel.name, argument), (-1, ""))
        if drawn != number:
            html = draw(panel.name, view, argument)
        while len(self._drawn) >= _MOST_DRAWN:
            del self._drawn[next(iter(self._drawn))]
        self._drawn[panel.name, argument] = (number, html)
        return html

    async def measure(self) -> None:
        """Reads figures once a second while someone looks; for ever."""
        while True:
            if time.monotonic() - self._looked_at < _LOOKED_S:
                await asyncio.to_thread(self._measuring.look)
                self._set(self.view.snapshot, self._measuring.now)
            await asyncio.sleep(_MEASURE_S)

    def _set(self, snapshot: Snapshot, measures: Measures) -> None:
        self.view = View(self.view.number + 1, snapshot, measures)
        self._changed.set()
        self._changed = asyncio.Event()
