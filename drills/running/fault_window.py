"""The gauge that tells metrics and dashboards when a drill's fault lasts."""

from __future__ import annotations

from prometheus_client import Gauge

from drills.catalogue import catalogue
from drills.control.events import FINAL
from schemas.records import DrillEvent
from standfast.core import telemetry


def note(event: DrillEvent) -> None:
    """Opens the drill's window when its first fault is injected; closes it when all are undone, or at its end.

    A window that a killed runner left open is closed by the next one, which ends that drill.
    """
    if event.phase == "injected" and event.injected != "failed":
        _gauge(event).set(1)
    elif event.phase == "rolled_back" or event.phase in FINAL:
        _gauge(event).set(0)


def _gauge(event: DrillEvent) -> Gauge:
    return telemetry.DRILL_FAULT.labels(telemetry.label(event.drill, catalogue()))
