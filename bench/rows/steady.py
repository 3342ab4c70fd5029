"""Rows without faults: workers' memory, overload, startup, and the search model's quality."""

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
from bench.startup import KAFKA_ALONE, MODEL_ALONE, startups
from consumers.service import service
from drills.faults.running_system import RunningSystem
from models import registry
from standfast.core.services import NAMES

_IN_FLIGHT, _BEFORE_SAMPLE = 64, 2000  # requests before memory is measured
_TIMES, _SECONDS, _FEW_SECONDS, _DEADLINE_MS = 3.0, 10.0, 3.0, 1000
_STARTS = 5  # rounds of the startup row


class WorkerMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional set sizes by worker or standby, MB."""

    megabytes: dict[str, float]


def measure_memory(context: RowContext) -> Measurement:
    """Each worker's and standby's memory after serving with 64 requests in flight; the largest is judged."""
    system = context.shared.running("whole", context.tell)
    context.tell("weighing workers")
    for name in NAMES:
        loop = ClosedLoop(system.settings, service(name, system.settings))
        loop.run(RequestMaker(name, seed=12).make(_BEFORE_SAMPLE // (20 if context.quick else 1)).requests, _IN_FLIGHT)
        loop.close()
    sizes_mb = {
        f"{worker.id} ({worker.role})": processes.memory_mb([worker.pid])
        for worker in system.status().workers
        if worker.pid
    }
    result = {name: round(mb, 1) for name, mb in sizes_mb.items()}
    sizes = spread(result.values(), 0)
    return Measurement(
        f"{shown(sizes, 0)} MB, of {len(result)}", {"largest": sizes.max}, WorkerMemory(megabytes=result)
    )


def measure_overload(context: RowContext) -> Measurement:
    """Goodput with three times the searches that can be computed, each with a deadline of a second."""
    system = context.shared.running("whole", context.tell)
    context.tell("flooding it")
    with _flood_on_other_core(system):
        result = overload(system.settings, "search", _TIMES, _FEW_SECONDS if context.quick else _SECONDS, _DEADLINE_MS)
    text = f"{result.ratio:.2f} of {result.capacity:,.0f}/s in time; {result.unanswered} lost, {result.doubled} doubled"
    figures = {"in time, of capacity": result.ratio, "lost": result.unanswered, "doubled": result.doubled}
    return Measurement(text, figures, result)


@contextmanager
def _flood_on_other_core(system: RunningSystem) -> Iterator[None]:
    """Pins workers to one core; this process, Kafka and the rest to the other.

    Three times as many requests cost Kafka and the sender three times as much, which is not the workers' fault: with
    two cores shared by all, that alone took a quarter of the workers' capacity (goodput was 0.73 of it, once).
    """
    core_layout = layout()
    arrange(core_layout, [worker.pid for worker in system.status().workers if worker.pid])
    try:
        yield
    finally:
        unpin(processes.family(os.getpid()), core_layout)


class Startups(msgspec.Struct, frozen=True, kw_only=True):
    """For each start the seconds to each step."""

    rounds: list[dict[str, float]]


def measure_startup(context: RowContext) -> Measurement:
    """Seconds from `standfast up` until both services have answered, and by what Kafka and a model take alone."""
    context.shared.clear()
    result = startups(context.shared.settings, 1 if context.quick else _STARTS, context.tell)
    answered = [max(start[f"first answer of {name}"] for name in NAMES) for start in result]
    parts = [start[KAFKA_ALONE] + start[MODEL_ALONE] for start in result]
    seconds, ratio = (
        spread(answered, 2),
        spread(all_s / parts_s for all_s, parts_s in zip(answered, parts, strict=True)),
    )
    return Measurement(
        f"{shown(seconds, 1)} s; {shown(ratio, 2)} times Kafka and one model alone, {shown(spread(parts, 2), 1)} s",
        {"first answers": seconds, "of Kafka and model alone": ratio},
        Startups(rounds=result),
    )


def measure_quality(context: RowContext) -> Measurement:
    """The nDCG@10 lost by the serving precision, as measured when the model was trained."""
    version = registry.active("search")
    metrics = registry.manifest_of("search", version).metrics if version is not None else {}
    lost = metrics.get("precision_lost_ndcg_10")
    if lost is None:
        return Measurement("its manifest does not say", {})
    context.tell("reading the manifest of the search model")
    return Measurement(f"{lost:.4f} (search@{version}, as trained)", {"nDCG@10 lost": lost})
