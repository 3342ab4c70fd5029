"""Intents: the faults that a drill has injected and is about to inject, so that another runner can undo them.

An intent is part of an event of the drill, which Kafka acknowledges before the fault is injected. The agent that
injects a fault writes a file besides, and undoes the fault by itself when no runner renews its lease, also while Kafka
is down, perhaps because of the fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from drills.faults.injector import Aim, Target
from drills.running.plan import Plan
from drills.running.strike import Strike
from standfast.core.errors import Unreadable

_VERSION = 3  # of the JSON form


@dataclass(frozen=True, slots=True)
class DrillKey:
    """The unique key of a drill.

    Args:
        topic: its outcome stream; two systems may have drills with the same id.
        drill_id: its id.
        command: the unique name of its command's record. A drill without a `drill_id` of its own is named after that
            record's topic, partition and offset, which repeat if drills.control is deleted and created again.
    """

    topic: str
    drill_id: str
    command: str | None


@dataclass(frozen=True, slots=True)
class IntendedFault:
    """One fault that is about to be injected, or was: the `number`-th of its drill, by the agent of `host`."""

    number: int
    host: str
    fault: str
    aim: Aim
    target: Target


@dataclass(frozen=True, slots=True)
class Intent:
    """The faults of one drill, the latest one about to be injected.

    It does not contain who requested the drill or the load's queries. An intent of another `version` cannot be decoded.
    """

    whose: DrillKey
    service: str
    faults: tuple[IntendedFault, ...]
    version: int = _VERSION


def intent_of(plan: Plan, topic: str, strikes: Iterable[Strike]) -> Intent:
    """The intent of this plan: its faults whose target is chosen."""
    faults = tuple(
        IntendedFault(strike.planned.number, strike.host, strike.planned.kind.name, strike.planned.aim, strike.target)
        for strike in strikes
        if strike.target is not None
    )
    return Intent(DrillKey(topic, plan.drill_id, plan.command), plan.service, faults)


def encoded(intent: Intent) -> str:
    """The intent as JSON."""
    return msgspec.json.encode(intent).decode()


def decoded(text: str | bytes) -> Intent:
    """The intent in a text from `encoded`; raises Unreadable."""
    try:
        intent = msgspec.json.decode(text, type=Intent)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"this is no intent of a drill: {error}") from None
    if intent.version != _VERSION:
        raise Unreadable(f"the intent has version {intent.version}; this runner reads version {_VERSION}")
    return intent
