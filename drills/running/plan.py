"""Making a plan from a command, or rejecting the command with the reason."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace

from drills.catalogue import find
from drills.drill import Drill, Value, checked
from drills.evidence.verdict import Objectives
from drills.faults import fault_named
from drills.faults.injector import Aim, Kind
from schemas.records import DrillCommand, Scalar
from schemas.topics import BY_NAME
from standfast.core.errors import DrillRejected
from standfast.core.settings import Settings

_ID = re.compile(r"[A-Za-z0-9._:@-]{1,300}")
_LONGEST_ID = 120  # characters of an id in a command; a default id contains the topic's name and may be longer
_LARGEST = 2**63  # bound of Avro's long: the seed is a field of the drill's events too
SETTLE_S = 1.0  # the load reads so much longer after the last answer, to see duplicates


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill, ready to run. Times are seconds unless named otherwise; `queries` empty: those of the sample shop.

    `params` are all parameters, `fault` only those of the fault. `command` is the unique name of the command's record.
    """

    drill_id: str
    drill: Drill
    service: str
    rate: float
    before_s: float
    after_s: float
    recover_within_s: float
    answer_within_s: float
    restore_within_s: float
    queries: tuple[str, ...]
    objectives: Objectives
    target: dict[str, Scalar]
    params: dict[str, Scalar]
    fault: dict[str, Scalar]
    duration_s: float
    seed: int
    dry_run: bool
    requested_by: str | None
    command: str | None = None

    @property
    def kind(self) -> Kind:
        """The kind of its fault."""
        return fault_named(self.drill.fault)

    @property
    def aim(self) -> Aim:
        """The fault's target, parameters and seed."""
        return self.kind.aim(self.target, self.fault, self.seed)


def make_plan(command: DrillCommand, drill_id: str, settings: Settings) -> Plan:
    """The plan of a command; raises DrillRejected with the wrong value and the allowed ones."""
    drill = find(command.drill or "")
    if command.seed is not None and not -_LARGEST <= command.seed < _LARGEST:
        raise DrillRejected(f"seed = {command.seed!s:.40}: give a whole number of at most 63 bits")
    values = checked(command.params, drill.params, drill.name)
    target = _target(command, drill, values, settings)
    plan = Plan(
        drill_id=drill_id,
        drill=drill,
        service=str(values["service"]),
        rate=float(values["rate"]),
        before_s=float(values["before_s"]),
        after_s=float(values["after_s"]),
        recover_within_s=float(values["recover_within_s"]),
        answer_within_s=float(values["answer_within_s"]),
        restore_within_s=float(values["restore_within_s"]),
        queries=tuple(word.strip() for word in str(values["queries"]).split("|") if word.strip()),
        objectives=Objectives(
            rto_ms=float(values["rto_ms"]),
            p99_ms=float(values["p99_ms"]),
            duplicates_allowed=settings.workers.delivery == "at_least_once",
        ),
        target=target,
        params=dict(values),
        fault={param.name: values[param.name] for param in fault_named(drill.fault).params},
        duration_s=0.0,
        seed=command.seed if command.seed is not None else zlib.crc32(drill_id.encode()),
        dry_run=command.dry_run,
        requested_by=command.requested_by[:1000] if command.requested_by else None,
    )
    if plan.recover_within_s * 1000 < plan.objectives.rto_ms:
        raise DrillRejected(
            f"recover_within_s = {plan.recover_within_s:g} is shorter than the objective rto_ms = "
            f"{plan.objectives.rto_ms:g}; raise the one or lower the other"
        )
    return _within(plan, command.duration_s, settings.drills.max_duration_s)


def longest_s(plan: Plan) -> float:
    """The drill's duration in seconds if every wait takes as long as allowed."""
    waits = plan.recover_within_s + 2 * plan.answer_within_s + plan.restore_within_s
    return plan.before_s + plan.after_s + waits + SETTLE_S


def is_id(drill_id: str) -> bool:
    """Whether a drill can have this id: it is safe in a path and on a terminal."""
    return _ID.fullmatch(drill_id) is not None


def good_id(drill_id: str) -> str:
    """The id, if a command may have it; raises DrillRejected."""
    if not is_id(drill_id) or len(drill_id) > _LONGEST_ID:
        raise DrillRejected(f"drill_id = {drill_id[:130]!r}: use 1 to 120 letters, digits and . _ : @ -")
    return drill_id


def _within(plan: Plan, requested_s: float | None, allowed_s: float) -> Plan:
    least = plan.before_s + plan.after_s + SETTLE_S
    if requested_s is not None and not 0 < requested_s <= allowed_s:
        raise DrillRejected(
            f"duration_s = {requested_s:g}: give at most {allowed_s:g}, or raise the setting drills.max_duration_s"
        )
    if requested_s is not None and requested_s < least:
        raise DrillRejected(f"duration_s = {requested_s:g} is too short: before_s and after_s alone take {least:g}")
    if requested_s is None and least > allowed_s:
        raise DrillRejected(
            f"the drill takes at least {least:g} s and {allowed_s:g} are allowed; lower before_s or after_s, or raise "
            "the setting drills.max_duration_s"
        )
    return replace(plan, duration_s=requested_s if requested_s is not None else min(allowed_s, longest_s(plan)))


def _target(command: DrillCommand, drill: Drill, values: dict[str, Value], settings: Settings) -> dict[str, Scalar]:
    """The command's target or the drill's default. A request topic in it also sets `values["service"]`."""
    target = dict(command.target) or {key: text.format(**values) for key, text in drill.target.items()}
    unknown = sorted(set(target) - set(drill.targets))
    if unknown:
        raise DrillRejected(f"target has no key {unknown[0]!r}; there are: {', '.join(drill.targets)}")
    if "worker" in target and len(target) > 1:
        raise DrillRejected("target names a worker and more; the worker alone is enough")
    if not isinstance(target.get("worker", ""), str):
        raise DrillRejected(f"target.worker = {target['worker']!r}: give a worker's id, such as search-0")
    partition = target.get("partition", 0)
    if isinstance(partition, bool) or not isinstance(partition, int) or partition < 0:
        raise DrillRejected(f"target.partition = {partition!r}: give the number of a partition, 0 or more")
    if "topic" in target:
        service = _service_of(target["topic"], settings.kafka.topic_prefix)
        if "service" in command.params and values["service"] != service:
            raise DrillRejected(f"target.topic {target['topic']} is not a topic of the service {values['service']}")
        values["service"] = service
    return target


def _service_of(topic: Scalar, prefix: str) -> str:
    name = topic.removeprefix(prefix) if isinstance(topic, str) else ""
    if name not in BY_NAME or not name.endswith(".requests"):
        requests = [topic_name for topic_name in BY_NAME if topic_name.endswith(".requests")]
        raise DrillRejected(f"target.topic = {topic!r}: give a request topic: {' or '.join(requests)}")
    return name.removesuffix(".requests")
