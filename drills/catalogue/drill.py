"""One entry of the catalogue: its definition, what may be set, and what the system promises while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drills.catalogue.checks import every
from drills.catalogue.definition import Definition
from drills.faults import fault_named
from drills.faults.injector import Kind
from drills.params import COMMON, Param, param_named
from schemas.records import Scalar

_GUARANTEED = (
    "every accepted request is answered: 0 lost",
    "a read_committed reader sees each answer once: 0 duplicated (unless workers.delivery = at_least_once)",
    "answers to one partition keep the order of its requests: 0 out of order",
    "each answer has as many products as its request asks for: 0 swapped",
    "all answers have status ok, less the error_budget",
    "the partitions that are hit answer again within rto_ms",
    "p99 after the recovery is within p99_ms",
)


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill.

    Args:
        name: that of its file.
        what, why: for people.
        definition: the file.
        params: all that a command may set: `COMMON` with the file's defaults, then what is its faults' own.
        targets: the keys that a command's `target` may have, and whom each names: those of its first fault.
        promises: what the system is held to.
        undo: what takes its faults away.
    """

    name: str
    what: str
    why: str
    definition: Definition
    params: tuple[Param, ...]
    targets: dict[str, str]
    promises: tuple[str, ...]
    undo: str

    def param(self, name: str) -> Param:
        """One of its params; raises DrillRejected with the nearest name."""
        return param_named(name, self.params, self.name)


def drill_of(name: str, definition: Definition) -> Drill:
    """The entry that a file makes."""
    kinds = kinds_of(definition)
    promised = (expectation.promise for expectation in definition.hypothesis)
    return Drill(
        name=name,
        what=definition.title,
        why=definition.why,
        definition=definition,
        params=(*_common(definition), *_own(definition)),
        targets=dict(kinds[0].targets),
        promises=(*_GUARANTEED, *promised),
        undo="; ".join(dict.fromkeys(kind.undo for kind in kinds)),
    )


def kinds_of(definition: Definition) -> list[Kind]:
    """The kinds of its faults, in the order of the file."""
    return [fault_named(step.fault) for step in every(definition.method) if step.fault]


def _common(definition: Definition) -> Iterator[Param]:
    """What may be set in every drill, with this file's values as defaults."""
    for param in COMMON:
        given: Scalar = definition.service if param.name == "service" else None
        for section in (definition.load, definition.objectives, definition.limits):
            value = getattr(section, param.name, None)
            given = value if value is not None else given
        yield param if given is None else replace(param, default=param.checked(given))


def _own(definition: Definition) -> Iterator[Param]:
    """Those of its faults whose names belong to one fault alone: a command could not say which it means."""
    steps = [step for step in every(definition.method) if step.fault]
    names = Counter(param.name for step in steps for param in fault_named(step.fault or "").params)
    for step in steps:
        for param in fault_named(step.fault or "").params:
            if names[param.name] == 1:
                given = step.params.get(param.name)
                yield param if given is None else replace(param, default=param.checked(given))
