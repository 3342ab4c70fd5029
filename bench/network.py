"""`python -m bench.network`: what the network proxy costs a round trip when no toxic is applied.

One client asks the same broker the same question on two connections in turns, one of them through the proxy, so that
what else the machine does meanwhile hits both alike.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figures import quantile
from standfast.core.network import routes
from standfast.core.network.probing import API_VERSIONS
from standfast.core.network.routes import Route
from standfast.kafka.cluster import Cluster

_WARM_UP = 500
_ASKED = 5000
_STARTS_S = 60.0


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as home, _behind_proxy(Path(home)) as route:
        direct, proxied = _measured(route)
    added = (median(proxied) - median(direct)) * 1000
    for name, times in (("direct", direct), ("through the proxy", proxied)):
        p50, p99 = (quantile(times, share) * 1000 for share in (0.5, 0.99))
        sys.stdout.write(f"{name:18} p50 {p50:.3f} ms  p99 {p99:.3f} ms  ({len(times)} round trips)\n")
    sys.stdout.write(f"the proxy adds     {added:.3f} ms a round trip (at most 0.3 is aimed at)\n")


@contextmanager
def _behind_proxy(home: Path) -> Iterator[Route]:
    """The route to a broker behind the proxy."""
    os.environ["STANDFAST_HOME"] = str(home)
    cluster = Cluster(1, home / "kafka", proxied=True)
    cluster.launch()
    routes.keep(cluster.routes)
    proxy = subprocess.Popen([sys.executable, "-P", "-m", "standfast.proxy"])
    try:
        cluster.wait_ready(_STARTS_S)
        (route,) = cluster.routes
        yield route
    finally:
        proxy.terminate()
        proxy.wait()
        cluster.stop()


def _measured(route: Route) -> tuple[list[float], list[float]]:
    """Seconds of each round trip, direct and through the proxy."""
    times: tuple[list[float], list[float]] = ([], [])
    with _connected(route.port) as direct, _connected(route.front) as proxied:
        for number in range(_WARM_UP + _ASKED):
            for line, kept in zip((direct, proxied), times, strict=True):
                took_s = _round_trip_s(line)
                if number >= _WARM_UP:
                    kept.append(took_s)
    return times


def _connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _round_trip_s(line: socket.socket) -> float:
    began = time.perf_counter()
    line.sendall(API_VERSIONS)
    (size,) = struct.unpack(">i", line.recv(4, socket.MSG_WAITALL))
    line.recv(size, socket.MSG_WAITALL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
