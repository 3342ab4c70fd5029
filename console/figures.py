"""Requests a second, latency, errors and lag of each service on this machine, from two readings of its metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from drills.reports.live_figures import LiveFigures, MetricsReading, by_topic
from standfast.core import status

_WITHIN_S = 1.0
_LARGEST = 20_000_000


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures by request topic; `at`: monotonic seconds. `problem`: why there are no newer ones."""

    at: float = field(default_factory=time.monotonic)
    by_topic: dict[str, LiveFigures] = field(default_factory=dict)
    problem: str = "no reading yet"


class Measuring:
    """Keeps the last two readings. Only the status file says where they are: a URL on a topic may be anyone's."""

    def __init__(self) -> None:
        self._last: dict[str, MetricsReading] = {}
        self.now = Measures()

    def look(self) -> None:
        """Reads the metrics once; blocks for a second at most."""
        try:
            reading = by_topic(_scraped())
        except (OSError, HTTPException, ValueError) as error:
            self._last = {}
            self.now = Measures(self.now.at, self.now.by_topic, f"the metrics cannot be read: {error}")
            return
        figures = {topic: new.since(self._last[topic]) for topic, new in reading.items() if topic in self._last}
        self._last = reading
        self.now = Measures(by_topic=figures, problem="" if figures else "the second reading is a second away")


def _scraped() -> str:
    running = status.read()
    if running is None or not running.metrics_url:
        raise ValueError("no system runs on this machine")
    url = urlsplit(running.metrics_url)
    connection = HTTPConnection(url.hostname or "", url.port, timeout=_WITHIN_S)
    try:
        connection.request("GET", url.path, headers={"Accept": "text/plain"})
        return connection.getresponse().read(_LARGEST).decode(errors="replace")
    finally:
        connection.close()
