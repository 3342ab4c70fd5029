"""From the fields of a form to an order on `drills.control`, and back to the line that a terminal would send.

This is the console's only way to change anything: what it sends, any program may send.
"""

from __future__ import annotations

import getpass
import secrets
import shlex
from collections.abc import Iterator, Mapping

import msgspec

from console.snapshot import Snapshot
from drills.catalogue import find
from drills.catalogue.drill import Drill
from drills.control.events import now_ms
from drills.control.reader import TOPIC
from drills.control.sending import send
from drills.params import COMMON, Param
from drills.running.plan import Plan, make_plan
from schemas.records import DrillCommand, Scalar
from standfast.core.settings import Settings
from standfast.core.status import WorkerStatus

_VALID_MS = 10_000  # an order that no runner took by then must not strike later
_REACH_S = 5.0
Fields = Mapping[str, str]


def order_of(name: str, fields: Fields) -> DrillCommand:
    """The order in a form; raises DrillRejected for a drill that there is not. Values are checked by `plan_of`."""
    drill = find(name)
    params = {
        key: value for key, value in _params(drill, fields) if value != drill.param(key).default or key == "service"
    }
    if params.get("service") == drill.param("service").default:
        del params["service"]
    seed = fields.get("seed", "")
    return DrillCommand(
        drill=name,
        drill_id=f"{name}-{secrets.token_hex(4)}",
        target=dict(_target(drill, fields)),
        params=params,
        seed=int(seed) if seed.isascii() and seed.isdecimal() and len(seed) < 10 else secrets.randbelow(10**6),
        dry_run=fields.get("dry_run") == "yes",
        requested_by=requester(),
    )


def plan_of(order: DrillCommand, settings: Settings) -> Plan:
    """What the runner would make of it; raises DrillRejected with the wrong value and the allowed ones."""
    return make_plan(order, order.drill_id or "", settings)


def start(order: DrillCommand, settings: Settings) -> None:
    """Sends the order, which is good for ten seconds; blocks; raises ClusterError."""
    send(
        msgspec.structs.replace(order, valid_until=now_ms() + _VALID_MS), order.drill_id or "", settings, None, _REACH_S
    )


def abort(drill_id: str, settings: Settings) -> None:
    """Asks for the end of a drill and the undo of its faults; blocks; raises ClusterError."""
    send(DrillCommand(abort=drill_id, requested_by=requester()), drill_id, settings, None, _REACH_S)


def requester() -> str:
    """Who asks: the login of whoever runs the console."""
    try:
        return f"{getpass.getuser()} (console)"
    except (OSError, KeyError):  # no such user, as in some containers
        return "console"


def line(order: DrillCommand, settings: Settings) -> str:
    """The command line that sends the same order with kafka-console-producer."""
    said = msgspec.json.encode(
        {
            name: value
            for name in ("drill", "target", "params", "seed", "dry_run")
            if (value := getattr(order, name)) not in ({}, False, None)
        }
    ).decode()
    topic = settings.kafka.topic_prefix + TOPIC
    return f"echo {shlex.quote(said)} | standfast kafka console-producer --topic {shlex.quote(topic)}"


def fields_of(order: DrillCommand) -> Iterator[tuple[str, str]]:
    """The form that makes this order again."""
    yield "drill", order.drill or ""
    yield "seed", str(order.seed)
    yield from ((f"p.{key}", str(value)) for key, value in order.params.items())
    yield from ((f"t.{key}", str(value)) for key, value in order.target.items())


def own_params(drill: Drill) -> tuple[tuple[Param, ...], tuple[Param, ...]]:
    """The parameters that are the drill's own, and those of every drill; the service is shown with its own."""
    common = {param.name for param in COMMON} - {"service", "rate"}
    own = tuple(param for param in drill.params if param.name not in common)
    return own, tuple(param for param in drill.params if param.name in common)


def candidates(snapshot: Snapshot, plan: Plan, target: Mapping[str, Scalar]) -> list[tuple[str, WorkerStatus]]:
    """The workers that the target fits, by what is known now."""
    active = [pair for pair in snapshot.workers(plan.service) if pair[1].role == "active"]
    if "worker" in target:
        return [pair for pair in active if pair[1].id == target["worker"]]
    if "partition" in target:
        return [pair for pair in active if any(target["partition"] in owned for owned in pair[1].partitions.values())]
    return active


def last_rto_ms(snapshot: Snapshot, drill: str) -> float | None:
    """The RTO of the drill's last run that recovered, in milliseconds; None if there is none."""
    figures = (story.last.rto_ms for story in snapshot.drills if story.last.drill == drill)
    return next((rto_ms for rto_ms in figures if rto_ms is not None), None)


def _params(drill: Drill, fields: Fields) -> Iterator[tuple[str, Scalar]]:
    for name, text in fields.items():
        if name.startswith("p.") and text.strip():
            param = drill.param(name[2:])
            yield param.name, param.parsed(text.strip())


def _target(drill: Drill, fields: Fields) -> Iterator[tuple[str, Scalar]]:
    for key in drill.targets:
        if text := fields.get(f"t.{key}", "").strip():
            is_number = text.isascii() and text.isdecimal() and len(text) < 10
            yield key, int(text) if is_number and key != "key" else text == "true" or text
