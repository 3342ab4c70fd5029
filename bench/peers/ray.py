"""Ray Serve over HTTP: one replica, @serve.batch with our batch size and a wait of 5 ms."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray import serve

from bench.peers.computing import Computing, kind
from bench.peers.task import Task, given

_WAIT_S = 0.005  # longest wait for a batch to fill
_STORE = 200_000_000  # bytes of the object store


class Replica:
    """The model behind Ray Serve's HTTP proxy."""

    def __init__(self, task: Task) -> None:
        self._kind = kind(task.service)
        self._computing = Computing(task)
        self._batched = serve.batch(max_batch_size=task.batch, batch_wait_timeout_s=_WAIT_S)(self._predict)

    async def __call__(self, request: Any) -> Any:
        """Answers one HTTP request, as part of a batch."""
        return await self._batched(await request.json())

    async def _predict(self, bodies: list[Any]) -> list[Any]:
        results = self._computing.results([msgspec.convert(body, self._kind) for body in bodies])
        return [msgspec.to_builtins(result) for result in results]


def main(task: Task) -> None:
    """Serves until it is told to stop; Ray's own processes end with this one."""
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=_STORE,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(Path(task.pid_file).parent),  # short: a Unix socket's path has at most 107 characters
    )
    serve.start(http_options={"host": "127.0.0.1", "port": task.port})
    # By default a replica takes five requests at once, so no batch could fill.
    deployment = serve.deployment(num_replicas=1, max_ongoing_requests=2 * task.batch + 64)(Replica)
    serve.run(deployment.bind(task), route_prefix="/predict")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()


if __name__ == "__main__":
    main(given())
