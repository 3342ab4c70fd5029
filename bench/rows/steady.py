"""Rows of a system that nobody strikes: what its workers weigh, what it does with too much, how soon it answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bench import processes
from bench.beside.results import spread
from bench.closed_loop import ClosedLoop
from bench.cores import arrange, layout, unpin
from bench.overload import overload
from bench.requests import RequestMaker
from bench.rows.row import Measurement, RowContext, shown
from bench.startup import startups
from consumers.service import service
from drills.faults.running_system import RunningSystem
from models import registry
from standfast.core.services import NAMES

_IN_FLIGHT, _BEFORE_WEIGHING = 64, 2000
_TIMES, _SECONDS, _FEW_SECONDS, _DEADLINE_MS = 3.0, 10.0, 3.0, 1000
_STARTS = 5


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional set sizes by worker or standby, MB."""

    megabytes: dict[str, float]


def memory(context: RowContext) -> Measurement:
    """What each worker and standby weighs after it has served with 64 requests in flight; the largest is judged."""
    scene = context.shared.at("whole", context.tell)
    context.tell("weighing workers")
    for name in NAMES:
        loop = ClosedLoop(scene.settings, service(name, scene.settings))
        loop.run(RequestMaker(name, seed=12).ask(_BEFORE_WEIGHING // (20 if context.quick else 1)).requests, _IN_FLIGHT)
        loop.close()
    rows = {f"{row.id} ({row.role})": processes.memory_mb([row.pid]) for row in scene.status().workers if row.pid}
    found = {name: round(mb, 1) for name, mb in rows.items()}
    sizes = spread(found.values(), 0)
    return Measurement(f"{shown(sizes, 0)} MB, of {len(found)}", {"largest": sizes.max}, Weighed(megabytes=found))


def flooded(context: RowContext) -> Measurement:
    """Three times the searches that can be computed, each with a deadline of a second."""
    scene = context.shared.at("whole", context.tell)
    context.tell("flooding it")
    with _flood_elsewhere(scene):
        found = overload(scene.settings, "search", _TIMES, _FEW_SECONDS if context.quick else _SECONDS, _DEADLINE_MS)
    told = f"{found.ratio:.2f} of {found.capacity:,.0f}/s in time; {found.unanswered} lost, {found.doubled} doubled"
    figures = {"in time, of capacity": found.ratio, "lost": found.unanswered, "doubled": found.doubled}
    return Measurement(told, figures, found)


@contextmanager
def _flood_elsewhere(scene: RunningSystem) -> Iterator[None]:
    """Workers on one core; whoever sends, Kafka and the rest on the other.

    Three times as many requests cost Kafka and their sender three times as much, which is not the workers' doing: where
    all share two cores, that alone takes a quarter of what they could compute (0.73 of the capacity, once).
    """
    at = layout()
    arrange(at, [row.pid for row in scene.status().workers if row.pid])
    try:
        yield
    finally:
        unpin(processes.family(os.getpid()), at)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Of each start the seconds to each thing reached."""

    rounds: list[dict[str, float]]


def started(context: RowContext) -> Measurement:
    """From `standfast up` to the first answer of the service that answers later."""
    context.shared.clear()
    found = startups(context.shared.settings, 1 if context.quick else _STARTS, context.tell)
    seconds = spread((max(one[f"first answer of {name}"] for name in NAMES) for one in found), 2)
    return Measurement(f"{shown(seconds, 1)} s", {"first answers": seconds}, Started(rounds=found))


def quality(context: RowContext) -> Measurement:
    """What the precision that serves costs in nDCG@10, as it was measured when the model was trained."""
    version = registry.active("search")
    metrics = registry.manifest_of("search", version).metrics if version is not None else {}
    lost = metrics.get("precision_lost_ndcg_10")
    if lost is None:
        return Measurement("its manifest does not say", {})
    context.tell("reading the manifest of the search model")
    return Measurement(f"{lost:.4f} (search@{version}, as trained)", {"nDCG@10 lost": lost})
