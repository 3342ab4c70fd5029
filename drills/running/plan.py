"""Making a plan from a command, or rejecting the command with the reason."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drills.catalogue import find
from drills.catalogue.definition import Definition, LimitsPart, MethodStep
from drills.catalogue.drill import Drill
from drills.evidence.hypothesis import Expectation
from drills.evidence.verdict import Objectives
from drills.faults import fault_named
from drills.faults.injector import Aim, Kind
from drills.params import Value, checked, nearest
from drills.targets import target_mistakes
from schemas.records import DrillCommand, Scalar
from schemas.topics import BY_NAME
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings

_ID = re.compile(r"[A-Za-z0-9._:@-]{1,300}")
_LONGEST_ID = 120  # characters of an id in a command; a default id contains the topic's name and may be longer
_LARGEST = 2**63  # bound of Avro's long: the seed is a field of the drill's events too
SETTLE_S = 1.0  # the load reads so much longer after the last answer, to see duplicates


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a method: its number among the faults of the drill, its kind, its target, parameters and seed."""

    number: int
    kind: Kind
    aim: Aim


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a method, as `drills.catalogue.definition.MethodStep` describes it."""

    fault: PlannedFault | None = None
    for_s: float | None = None
    wait_s: float = 0.0
    until: Expectation | None = None
    within_s: float = 0.0
    parallel: tuple[tuple[PlannedStep, ...], ...] = ()

    @property
    def longest_s(self) -> float:
        """How long it may take in seconds, without the undo of a fault that lasts `for_s`."""
        branches = (sum(step.longest_s for step in branch) for branch in self.parallel)
        return (self.for_s or 0.0) + self.wait_s + self.within_s + max(branches, default=0.0)

    @property
    def undos(self) -> int:
        """How many undos it waits for, one after the other: of each fault that lasts `for_s`."""
        branches = (sum(step.undos for step in branch) for branch in self.parallel)
        return int(self.for_s is not None) + max(branches, default=0)


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill, ready to run. Times are seconds unless named otherwise; `queries` empty: those of the sample shop.

    `params` are all parameters. `command` is the unique name of the command's record.
    """

    drill_id: str
    drill: Drill
    service: str
    rate: float
    before_s: float
    after_s: float
    deadline_ms: float
    recover_within_s: float
    answer_within_s: float
    restore_within_s: float
    queries: tuple[str, ...]
    objectives: Objectives
    method: tuple[PlannedStep, ...]
    hypothesis: tuple[Expectation, ...]
    stop_when: tuple[Expectation, ...]
    limits: LimitsPart
    params: dict[str, Scalar]
    duration_s: float
    seed: int
    dry_run: bool
    requested_by: str | None
    command: str | None = None

    @property
    def faults(self) -> tuple[PlannedFault, ...]:
        """All faults of the method, in the order of the definition."""
        return tuple(_faults(self.method))


def make_plan(command: DrillCommand, drill_id: str, settings: Settings) -> Plan:
    """The plan of a command; raises DrillRejected with the wrong value and the allowed ones."""
    drill = find(command.drill or "")
    if command.seed is not None and not -_LARGEST <= command.seed < _LARGEST:
        raise DrillRejected(f"seed = {command.seed!s:.40}: give a whole number of at most 63 bits")
    values = checked(command.params, drill.params, drill.name)
    target = _target(command, drill, values, settings)
    definition, seed = drill.definition, _seed(command, drill.definition, drill_id)
    plan = Plan(
        drill_id=drill_id,
        drill=drill,
        service=str(values["service"]),
        rate=float(values["rate"]),
        before_s=float(values["before_s"]),
        after_s=float(values["after_s"]),
        deadline_ms=float(values["deadline_ms"]),
        recover_within_s=float(values["recover_within_s"]),
        answer_within_s=float(values["answer_within_s"]),
        restore_within_s=float(values["restore_within_s"]),
        queries=tuple(word.strip() for word in str(values["queries"]).split("|") if word.strip()),
        objectives=Objectives(
            rto_ms=float(values["rto_ms"]),
            p99_ms=float(values["p99_ms"]),
            duplicates_allowed=_duplicates_allowed(definition, settings),
            error_budget=float(values["error_budget"]),
        ),
        method=_Method(drill, values, target, seed, drill_id).planned(definition.method),
        hypothesis=definition.hypothesis,
        stop_when=definition.stop_when,
        limits=definition.limits,
        params=dict(values),
        duration_s=0.0,
        seed=seed,
        dry_run=command.dry_run,
        requested_by=command.requested_by[:1000] if command.requested_by else None,
    )
    if plan.recover_within_s * 1000 < plan.objectives.rto_ms:
        raise DrillRejected(
            f"recover_within_s = {plan.recover_within_s:g} is shorter than the objective rto_ms = "
            f"{plan.objectives.rto_ms:g}; raise the one or lower the other"
        )
    requested_s = command.duration_s if command.duration_s is not None else definition.limits.duration_s
    return _within(plan, requested_s, settings.drills.max_duration_s)


def longest_s(plan: Plan) -> float:
    """The drill's duration in seconds if every wait takes as long as allowed."""
    undos = 1 + sum(step.undos for step in plan.method)
    waits = plan.recover_within_s + 2 * plan.answer_within_s + undos * plan.restore_within_s
    return least_s(plan) + waits + SETTLE_S


def least_s(plan: Plan) -> float:
    """The seconds of load before the faults and after the recovery, and what the steps of the method may take."""
    return plan.before_s + sum(step.longest_s for step in plan.method) + plan.after_s


def is_id(drill_id: str) -> bool:
    """Whether a drill can have this id: it is safe in a path and on a terminal."""
    return _ID.fullmatch(drill_id) is not None


def good_id(drill_id: str) -> str:
    """The id, if a command may have it; raises DrillRejected."""
    if not is_id(drill_id) or len(drill_id) > _LONGEST_ID:
        raise DrillRejected(f"drill_id = {drill_id[:130]!r}: use 1 to 120 letters, digits and . _ : @ -")
    return drill_id


def _within(plan: Plan, requested_s: float | None, allowed_s: float) -> Plan:
    least = least_s(plan) + SETTLE_S
    if requested_s is not None and not 0 < requested_s <= allowed_s:
        raise DrillRejected(
            f"duration_s = {requested_s:g}: give at most {allowed_s:g}, or raise the setting drills.max_duration_s"
        )
    if requested_s is not None and requested_s < least:
        raise DrillRejected(
            f"duration_s = {requested_s:g} is too short: before_s, after_s and the method alone take {least:g}"
        )
    if requested_s is None and least > allowed_s:
        raise DrillRejected(
            f"the drill takes at least {least:g} s and {allowed_s:g} are allowed; lower before_s or after_s, or raise "
            "the setting drills.max_duration_s"
        )
    return replace(plan, duration_s=requested_s if requested_s is not None else min(allowed_s, longest_s(plan)))


def _target(command: DrillCommand, drill: Drill, values: dict[str, Value], settings: Settings) -> dict[str, Scalar]:
    """The command's target, which is the first fault's. A request topic in it also sets `values["service"]`."""
    target = dict(command.target)
    for _, mistake in target_mistakes(target, drill.targets, drill.name):
        raise DrillRejected(mistake)
    if "topic" in target and "broker" in drill.targets:
        target["topic"] = _topic_of(target["topic"], settings.kafka.topic_prefix)
    elif "topic" in target:
        service = _service_of(target["topic"], settings.kafka.topic_prefix)
        if "service" in command.params and values["service"] != service:
            raise DrillRejected(f"target.topic {target['topic']} is not a topic of the service {values['service']}")
        values["service"] = service
    return target


class _Method:
    """Numbers the faults of a method, and gives them the targets and parameters of the command."""

    def __init__(
        self, drill: Drill, values: dict[str, Value], target: dict[str, Scalar], seed: int, drill_id: str
    ) -> None:
        self._settable = {param.name for param in drill.params}
        self._values = values
        self._target = target  # of the first fault
        self._seed = seed
        self._drill_id = drill_id
        self._count = 0

    def planned(self, steps: tuple[MethodStep, ...]) -> tuple[PlannedStep, ...]:
        return tuple(self._step(step) for step in steps)

    def _step(self, step: MethodStep) -> PlannedStep:
        return PlannedStep(
            fault=self._fault(step, step.fault) if step.fault is not None else None,
            for_s=step.for_s,
            wait_s=step.wait_s or 0.0,
            until=step.until,
            within_s=step.within_s or 0.0,
            parallel=tuple(self.planned(branch) for branch in step.parallel or ()),
        )

    def _fault(self, step: MethodStep, name: str) -> PlannedFault:
        kind, number = fault_named(name), self._count
        self._count += 1
        target = self._target if number == 0 and self._target else self._with_service(step.target)
        set_values = {param.name: self._values[param.name] for param in kind.params if param.name in self._settable}
        aim = kind.aim(target, {**step.params, **set_values}, self._seed + number, self._drill_id)
        return PlannedFault(number, kind, aim)

    def _with_service(self, target: dict[str, Scalar]) -> dict[str, Scalar]:
        service = str(self._values["service"])
        return {
            key: value.replace("{service}", service) if isinstance(value, str) else value
            for key, value in target.items()
        }


def _faults(steps: tuple[PlannedStep, ...]) -> Iterator[PlannedFault]:
    for step in steps:
        if step.fault is not None:
            yield step.fault
        for branch in step.parallel:
            yield from _faults(branch)


def _seed(command: DrillCommand, definition: Definition, drill_id: str) -> int:
    if command.seed is not None:
        return command.seed
    return definition.seed if definition.seed is not None else zlib.crc32(drill_id.encode())


def _duplicates_allowed(definition: Definition, settings: Settings) -> bool:
    delivery = settings.workers.delivery
    if definition.guarantee == "exactly_once" and delivery != "exactly_once":
        raise DrillRejected(
            f"the drill's guarantee is exactly_once, and workers.delivery = {delivery} promises less; change either"
        )
    return "at_least_once" in {delivery, definition.guarantee}


def _topic_of(topic: Scalar, prefix: str) -> str:
    """The topic of ours that is named with or without the prefix, without it; raises DrillRejected."""
    name = topic.removeprefix(prefix) if isinstance(topic, str) else ""
    if name not in BY_NAME:
        raise DrillRejected(f"target.topic = {topic!r:.300} is no topic of ours{nearest(name, sorted(BY_NAME))}")
    return name


def _service_of(topic: Scalar, prefix: str) -> str:
    name = topic.removeprefix(prefix) if isinstance(topic, str) else ""
    if name not in BY_NAME or not name.endswith(".requests"):
        requests = [topic_name for topic_name in BY_NAME if topic_name.endswith(".requests")]
        raise DrillRejected(f"target.topic = {topic!r}: give a request topic: {' or '.join(requests)}")
    return name.removesuffix(".requests")
