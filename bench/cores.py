"""Two cores, alike for everyone: the process that computes on one, the client, the broker and the rest on the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import msgspec
import psutil

from bench import processes


class CoreLayout(msgspec.Struct, frozen=True):
    """The cores; None for both where the machine offers only one, and nothing is pinned."""

    model: int | None
    rest: int | None

    def __str__(self) -> str:
        if self.model is None:
            return "one core: nothing is pinned"
        return (
            f"the process with the model on core {self.model}; client, broker and everything else on core {self.rest}"
        )


def layout() -> CoreLayout:
    """The first and the last core this process may use, which are seldom two halves of one."""
    cores = sorted(os.sched_getaffinity(0))
    return CoreLayout(cores[-1], cores[0]) if len(cores) > 1 else CoreLayout(None, None)


def arrange(at: CoreLayout, with_model: Iterable[int]) -> None:
    """Puts every process of this benchmark on its core."""
    models = set(with_model)
    pin(set(processes.family(os.getpid())) - models, at.rest)
    pin(models, at.model)


def pin(pids: Iterable[int], core: int | None) -> None:
    """Moves every thread of these processes to the core; what has ended meanwhile has ended."""
    if core is not None:
        _move(pids, {core})


def unpin(pids: Iterable[int], at: CoreLayout) -> None:
    """Lets these processes use both cores again, for a start is not measured on one."""
    if at.model is not None and at.rest is not None:
        _move(pids, {at.model, at.rest})


def _move(pids: Iterable[int], cores: set[int]) -> None:
    for pid in pids:
        for thread in _threads(pid):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)


def _threads(pid: int) -> list[int]:
    try:
        return [thread.id for thread in psutil.Process(pid).threads()]
    except psutil.NoSuchProcess:
        return []
