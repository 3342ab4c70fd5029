"""One scrape shows the metrics of all processes on a machine, including the supervisor's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SUPERVISOR = """
import os, pathlib, subprocess, sys
from prometheus_client import generate_latest
from standfast import system
from standfast.core import telemetry
folder = pathlib.Path(sys.argv[1])
telemetry.share(folder, "supervisor")
telemetry.WORKERS.labels("search", "active", "serving").set(2)
telemetry.RESTARTS.labels("search", "SIGKILL").inc()
child = "from standfast.core import telemetry; telemetry.REQUESTS.labels('search.requests', 'search', '1', 'ok').inc()"
subprocess.run([sys.executable, "-c", child], check=True, env={**os.environ, "STANDFAST_SLOT": "search-s0"})
print(generate_latest(telemetry.shared_registry(folder)).decode())
"""


def test_the_supervisors_metrics_are_in_the_scrape_beside_those_of_its_children(tmp_path: Path) -> None:
    """The supervisor's were missing: its metrics were defined before PROMETHEUS_MULTIPROC_DIR was set."""
    done = subprocess.run(
        [sys.executable, "-c", _SUPERVISOR, str(tmp_path / "metrics")], capture_output=True, text=True, check=True
    )
    shown = set(done.stdout.splitlines())
    assert 'standfast_workers{role="active",service="search",state="serving"} 2.0' in shown
    assert 'standfast_worker_restarts_total{reason="SIGKILL",service="search"} 1.0' in shown
    assert 'standfast_requests_total{model="search",status="ok",topic="search.requests",version="1"} 1.0' in shown
