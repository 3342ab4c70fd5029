"""The metric that counts workers and standbys by what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from standfast.core import telemetry
from standfast.core.status import WorkerStatus

_COUNTED = (("active", "serving"), ("active", "starting"), ("active", "backing_off"), ("standby", "ready"))


def show(workers: Sequence[WorkerStatus]) -> None:
    """Sets `standfast_workers` to what these rows say."""
    services = {row.service for row in workers}
    counts = Counter({(name, role, state): 0 for name in services for role, state in _COUNTED})
    counts.update((row.service, str(row.role), str(row.state)) for row in workers)
    for labels, count in counts.items():
        telemetry.WORKERS.labels(*labels).set(count)
