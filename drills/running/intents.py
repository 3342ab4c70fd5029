"""Intents: the faults that a drill has injected and is about to inject, so that another runner can undo them.

An intent is written before each fault, and twice. First a file in the state folder: a runner that starts while Kafka is
down, perhaps because of the fault, reads that. Then the same text in an event of the drill, which Kafka acknowledges
before the fault is injected. The file is deleted once the drill's final event is written.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import structlog

from drills.faults.injector import Aim, Target
from drills.running.plan import Plan
from drills.running.strike import Strike
from standfast.core.errors import SetupError, Unreadable
from standfast.core.home import folder
from standfast.core.keeping import set_aside, write_whole

_VERSION = 2  # of the JSON form
_log = structlog.get_logger()


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
    """One fault that is about to be injected, or was."""

    fault: str
    aim: Aim
    target: Target


@dataclass(frozen=True, slots=True)
class Intent:
    """The faults of one drill, the latest one about to be injected.

    It does not contain who requested the drill or the load's queries. `machine` is the machine on which the targets'
    pids are valid. An intent of another `version` cannot be decoded.
    """

    whose: DrillKey
    service: str
    faults: tuple[IntendedFault, ...]
    machine: str
    version: int = _VERSION


def intent_of(plan: Plan, topic: str, strikes: Iterable[Strike]) -> Intent:
    """The intent of this plan: its faults whose target is chosen."""
    faults = tuple(
        IntendedFault(strike.planned.kind.name, strike.planned.aim, strike.target)
        for strike in strikes
        if strike.target is not None
    )
    return Intent(DrillKey(topic, plan.drill_id, plan.command), plan.service, faults, machine())


@cache
def machine() -> str:
    """An id of this boot of the machine and this pid namespace, so a container counts as a machine of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # a sandbox may not have these files
        return platform.node()


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


def keep(intent: Intent) -> None:
    """Writes the file and syncs it to disk. Raises OSError, or SetupError if the state folder cannot be created."""
    write_whole(_file(intent.whose), encoded(intent).encode())


def is_kept(key: DrillKey) -> bool:
    """Whether the file exists; a runner on this machine that has ended the drill has deleted it."""
    try:
        return _file(key).exists()
    except (OSError, SetupError):
        return False


def kept(topic: str) -> list[Intent]:
    """All intents in the state folder for that outcome stream; files that cannot be decoded are moved aside."""
    try:
        intents = [_read(path) for path in sorted(_folder().glob("*.json"))]
    except (OSError, SetupError) as error:
        _log.error("the intents of drills cannot be read", error=str(error))
        return []
    return [intent for intent in intents if intent is not None and intent.whose.topic == topic]


def forget(key: DrillKey) -> None:
    """Deletes the file, if there is one; an error is logged, and the next runner tries again."""
    try:
        _file(key).unlink(missing_ok=True)
    except (OSError, SetupError) as error:
        _log.error("the file of an intent cannot be taken away", drill_id=key.drill_id, error=str(error))


def put_aside(key: DrillKey, reason: str) -> None:
    """Moves the file aside: it can be decoded, but its fault cannot be undone."""
    if is_kept(key):
        set_aside(_file(key), reason)


def _read(path: Path) -> Intent | None:
    try:
        intent = decoded(path.read_bytes())
        if path != _file(intent.whose):
            raise Unreadable(f"it is the intent of {intent.whose.drill_id} under another's name")
    except FileNotFoundError:  # its drill has just ended
        return None
    except (OSError, Unreadable) as error:
        set_aside(path, str(error))
        return None
    return intent


def _file(key: DrillKey) -> Path:
    text = f"{key.topic}\n{key.drill_id}\n{key.command}"
    return _folder() / f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def _folder() -> Path:
    return folder("drills", "intents")
