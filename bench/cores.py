"""Pinning to two cores: the process with the model on one; the client, the broker and the rest on the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import msgspec
import psutil

from bench import processes


class CoreLayout(msgspec.Struct, frozen=True):
    """The two cores; both None if the machine has only one, and then nothing is pinned."""

    model: int | None
    rest: int | None

    def __str__(self) -> str:
        if self.model is None:
            return "one core: nothing is pinned"
        return (
            f"the process with the model on core {self.model}; client, broker and everything else on core {self.rest}"
        )


def layout() -> CoreLayout:
    """The first and the last core this process may use, which are rarely hyper-threads of one core."""
    cores = sorted(os.sched_getaffinity(0))
    return CoreLayout(cores[-1], cores[0]) if len(cores) > 1 else CoreLayout(None, None)


def arrange(layout: CoreLayout, with_model: Iterable[int]) -> None:
    """Pins every process of this benchmark to its core; `with_model` are the pids of those with the model."""
    models = set(with_model)
    pin(set(processes.family(os.getpid())) - models, layout.rest)
    pin(models, layout.model)


def pin(pids: Iterable[int], core: int | None) -> None:
    """Pins every thread of these processes to the core; ignores processes that have ended."""
    if core is not None:
        _move(pids, {core})


def unpin(pids: Iterable[int], layout: CoreLayout) -> None:
    """Lets these processes use both cores again: starts are not measured on one core."""
    if layout.model is not None and layout.rest is not None:
        _move(pids, {layout.model, layout.rest})


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
