"""One entry of the catalogue: its definition, what may be set, and what the system promises while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drills.catalogue.definition import Definition, MethodStep
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
        least_brokers: on a Kafka with fewer brokers it is rejected.
    """

    name: str
    what: str
    why: str
    definition: Definition
    params: tuple[Param, ...]
    targets: dict[str, str]
    promises: tuple[str, ...]
    undo: str
    least_brokers: int = 1

    def param(self, name: str) -> Param:
        """One of its params; raises DrillRejected with the nearest name."""
        return param_named(name, self.params, self.name)


def drill_of(name: str, definition: Definition) -> Drill:
    """The entry that a file makes."""
    kinds = [kind for _, kind in _faults(definition)]
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
        least_brokers=max(kind.least_brokers for kind in kinds),
    )


def _faults(definition: Definition) -> list[tuple[MethodStep, Kind]]:
    """The steps with a fault, and its kind, in the order of the file."""
    return [(step, fault_named(step.fault)) for step in definition.steps() if step.fault is not None]


def _common(definition: Definition) -> Iterator[Param]:
    """What may be set in every drill, with this file's values as defaults."""
    given = {key: value for key, (_, value) in definition.values().items()} | {"service": definition.service}
    for param in COMMON:
        yield _with_default(param, given.get(param.name))


def _own(definition: Definition) -> Iterator[Param]:
    """Those of its faults whose names belong to one fault alone: a command could not say which it means."""
    own = [(step, param) for step, kind in _faults(definition) for param in kind.params]
    names = Counter(param.name for _, param in own)
    for step, param in own:
        if names[param.name] == 1:
            yield _with_default(param, step.params.get(param.name))


def _with_default(param: Param, given: Scalar) -> Param:
    return param if given is None else replace(param, default=param.checked(given))
