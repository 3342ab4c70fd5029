"""What a file of the catalogue may say: the format of a drill, as `standfast drill schema` publishes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from drills.evidence.hypothesis import Expectation
from schemas.records import Scalar


class DefinitionPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a file; a key that it does not know is an error."""


class LoadPart(DefinitionPart, frozen=True):
    """The drill's own requests.

    Args:
        rate: a second, over all partitions, sent when they are due however slow the system is.
        before_s: seconds of load before the first fault; all of it must be answered.
        after_s: seconds of load after the recovery.
        deadline_ms: each request's deadline, so long after it is sent, as callers give it; 0: none.
        answer_within_s: how long the last answers are waited for.
        queries: search words or user ids, separated by |; empty: the sample shop's.
    """

    rate: float | None = None
    before_s: float | None = None
    after_s: float | None = None
    deadline_ms: float | None = None
    answer_within_s: float | None = None
    queries: str | None = None


class ObjectivesPart(DefinitionPart, frozen=True):
    """What the system is held to, besides the guarantee.

    Args:
        rto_ms: every partition that was hit answers again within so many milliseconds.
        p99_ms: p99 of the answers before and after, milliseconds.
        error_budget: the share of answers that may be other than ok, 0 to 1.
    """

    rto_ms: float | None = None
    p99_ms: float | None = None
    error_budget: float | None = None


class LimitsPart(DefinitionPart, frozen=True):
    """How much may be hit at most, and how long things may take.

    Args:
        processes: so many at once.
        share: of the workers of a service that are active, 0 to 1.
        last_replica: the last worker that could answer may be hit too.
        recover_within_s: how long the recovery is waited for.
        restore_within_s: how long it is waited until the faults are shown to be undone.
        duration_s: all of the drill; it is aborted then.
    """

    processes: int | None = None
    share: float | None = None
    last_replica: bool = False
    recover_within_s: float | None = None
    restore_within_s: float | None = None
    duration_s: float | None = None


class MethodStep(DefinitionPart, frozen=True):
    """One thing that the method does: exactly one of `fault`, `wait_s`, `until` and `parallel` is given.

    Args:
        fault: a fault of `drills/faults`, with its `target` and `params`; lasts until the method is over, or `for_s`.
        target: whom it strikes; `{service}` stands for the service's name.
        wait_s: nothing is done for so many seconds.
        until: nothing is done until the expectation holds, `within_s` at most; then the method goes on all the same.
        parallel: several methods at once; over when the last of them is.
    """

    fault: str | None = None
    target: dict[str, Scalar] = {}
    params: dict[str, Scalar] = {}
    for_s: float | None = None
    wait_s: float | None = None
    until: Expectation | None = None
    within_s: float | None = None
    parallel: tuple[tuple[MethodStep, ...], ...] | None = None


class Definition(DefinitionPart, frozen=True):
    """One drill. Its name is that of its file.

    Args:
        title: what it does, in a line.
        why: what is learnt from it.
        method: the faults, and what comes between them.
        hypothesis: what is expected of the system besides the guarantee and the objectives.
        guarantee: what delivery promises; left out: what the setting `workers.delivery` says.
        stop_when: the drill is aborted, and its faults are undone, when one of these holds.
        seed: chooses the same targets each time; left out: another one for each drill.
        tags, runbook: for people.
    """

    title: str
    why: str
    method: tuple[MethodStep, ...]
    service: str = "search"
    hypothesis: tuple[Expectation, ...] = ()
    guarantee: Literal["exactly_once", "at_least_once"] | None = None
    objectives: ObjectivesPart = field(default_factory=ObjectivesPart)
    load: LoadPart = field(default_factory=LoadPart)
    limits: LimitsPart = field(default_factory=LimitsPart)
    stop_when: tuple[Expectation, ...] = ()
    seed: int | None = None
    tags: tuple[str, ...] = ()
    runbook: str | None = None

    def steps(self) -> Iterator[MethodStep]:
        """All steps of the method, also those inside `parallel`, in the order of the file."""
        return _with_inner(self.method)

    def values(self) -> dict[str, tuple[str, Scalar]]:
        """What the sections `load`, `objectives` and `limits` set: by key, the section and the value."""
        return {
            key: (section, value)
            for section in ("load", "objectives", "limits")
            for key, value in asdict(getattr(self, section)).items()
            if value is not None
        }


def _with_inner(steps: tuple[MethodStep, ...]) -> Iterator[MethodStep]:
    for step in steps:
        yield step
        for branch in step.parallel or ():
            yield from _with_inner(branch)
