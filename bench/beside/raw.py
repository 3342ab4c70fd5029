"""The raw limit: only the model, in a process of its own, on batches of the same requests. Nothing can be faster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from bench.requests import Request
from bench.timings import Timings
from standfast.core.errors import ModelError
from standfast.core.processes.lifeline import leave_interrupts_to_parent

_LOAD_S = 120.0  # for the model


class Raw:
    """The process with the model, connected by a pipe; `raw` creates it."""

    def __init__(self, pid: int, pipe: Connection) -> None:
        self.pid = pid
        self._pipe = pipe

    def run(self, requests: Sequence[Request], batch: int) -> Timings:
        """Computes the requests in order, `batch` at a time; each counts as long as its batch takes. Blocks."""
        self._pipe.send((list(requests), batch))
        return _received(self._pipe)


@contextmanager
def raw(service: str, device: str, precision: str, home: Path) -> Iterator[Raw]:
    """The active model of the state folder `home`, loaded and warm, on one torch thread."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, service, device, precision, str(home)), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_LOAD_S):
            raise ModelError(
                f"the model of {service} was not loaded within {_LOAD_S:.0f} s; is the machine overloaded?"
            )
        _received(ours)
        yield Raw(process.pid or 0, ours)
    finally:
        process.kill()  # it has nothing to clean up
        process.join()
        ours.close()


def _received(pipe: Connection) -> Timings:
    try:
        timings: Timings = pipe.recv()
    except EOFError:
        raise ModelError("the process that measures the raw limit died; its last words are above") from None
    return timings


def _serve(pipe: Connection, service: str, device: str, precision: str, home: str) -> None:
    """The process's main function: sends an empty `Timings` once the model is warm, then computes until killed."""
    leave_interrupts_to_parent()
    os.environ |= {"STANDFAST_HOME": home, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    from bench.peers.computing import loaded, query

    model = loaded(service, device, precision)
    pipe.send(Timings())
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            requests, batch = pipe.recv()
            queries = [query(request) for request in requests]
            timings = Timings()
            began = time.perf_counter()
            for start in range(0, len(queries), batch):
                group = queries[start : start + batch]
                batch_began = time.perf_counter()
                model.predict(group)
                timings.seconds += [time.perf_counter() - batch_began] * len(group)
            timings.elapsed = time.perf_counter() - began
            pipe.send(timings)
