"""SIGKILL of one worker, as the kernel's out-of-memory killer sends it."""

from __future__ import annotations

from drills.drill import COMMON, Drill
from drills.faults.injector import Kind
from drills.faults.workers import TARGETS, WorkerFault

WORKER_KILL = Drill(
    name="worker-kill",
    what="Kills one live worker (SIGKILL) under load; a standby has to take over its partitions.",
    why="Processes die: out of memory, a driver, a node. Nobody who asked may notice more than a short wait.",
    fault="kill",
    targets=TARGETS,
    params=COMMON,
    promises=(
        "every accepted request is answered: 0 lost",
        "a read_committed reader sees each answer once: 0 duplicated (unless workers.delivery = at_least_once)",
        "answers to one partition keep the order of its requests: 0 out of order",
        "each answer has as many products as its request asks for: 0 swapped",
        "all answers have status ok",
        "the victim's partitions answer again within rto_ms",
        "p99 after the recovery is within p99_ms",
    ),
    undo="nothing is left behind: the supervisor starts the worker again; the drill checks that it did",
    target={"topic": "{service}.requests"},
)

KILL = Kind("kill", "SIGKILL of a worker", WorkerFault, drill=WORKER_KILL)
