"""What a drill is about to do, written down before it does it: another runner can undo it from that alone.

It is written twice. The file in the state folder is there first, and it is what a runner goes by that starts while
Kafka does not answer: Kafka may be what was struck. The same text then stands in the drill's `steady_state` event,
which Kafka has acknowledged before the fault is injected. The file goes when the drill's last event is written.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import structlog

from drills.faults.injector import Aim, Target
from drills.running.plan import Plan
from standfast.core.errors import SetupError, Unreadable
from standfast.core.home import folder
from standfast.core.keeping import set_aside, write_whole

_VERSION = 1
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Whose:
    """The drill an intent is of.

    Args:
        topic: its outcome stream; two systems may have drills of the same id.
        drill_id: its id.
        command: the record that asked for it. Without a `drill_id` of its own a drill is named after the place of that
            record, which comes again where drills.control is deleted and made again.
    """

    topic: str
    drill_id: str
    command: str | None


@dataclass(frozen=True, slots=True)
class Intent:
    """One fault that is about to be injected. Nothing in it says who asked for it, or what the load asks.

    `machine` is where the target's pids count. `version` is that of this form; another one cannot be read.
    """

    whose: Whose
    fault: str
    service: str
    aim: Aim
    target: Target
    machine: str
    version: int = _VERSION


def intent_of(plan: Plan, topic: str, target: Target) -> Intent:
    """What this plan is about to do to that target."""
    whose = Whose(topic, plan.drill_id, plan.command)
    return Intent(whose, plan.kind.name, plan.service, plan.aim, target, machine())


@cache
def machine() -> str:
    """This machine since it was booted, as far as this process sees its processes: a container is one of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # sandboxes may lack them
        return platform.node()


def encoded(intent: Intent) -> str:
    """As JSON."""
    return msgspec.json.encode(intent).decode()


def decoded(text: str | bytes) -> Intent:
    """The intent in a text that `encoded` gave; raises Unreadable."""
    try:
        intent = msgspec.json.decode(text, type=Intent)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"this is no intent of a drill: {error}") from None
    if intent.version != _VERSION:
        raise Unreadable(f"the intent has version {intent.version}; this runner reads version {_VERSION}")
    return intent


def keep(intent: Intent) -> None:
    """Writes the file; it is on the disk when this returns. Raises OSError, or SetupError where no folder can be."""
    write_whole(_file(intent.whose), encoded(intent).encode())


def is_kept(whose: Whose) -> bool:
    """Whether the file is there; another runner of this machine that has ended the drill has taken it away."""
    try:
        return _file(whose).exists()
    except (OSError, SetupError):
        return False


def kept(topic: str) -> list[Intent]:
    """All intents in the state folder of drills on that outcome stream; what cannot be read is moved aside."""
    try:
        read = [_read(path) for path in sorted(_folder().glob("*.json"))]
    except (OSError, SetupError) as error:
        _log.error("the intents of drills cannot be read", error=str(error))
        return []
    return [one for one in read if one is not None and one.whose.topic == topic]


def forget(whose: Whose) -> None:
    """Takes the file away, if there is one; what goes wrong is logged, and the next runner tries again."""
    try:
        _file(whose).unlink(missing_ok=True)
    except (OSError, SetupError) as error:
        _log.error("the file of an intent cannot be taken away", drill_id=whose.drill_id, error=str(error))


def put_aside(whose: Whose, reason: str) -> None:
    """Moves the file out of the way: it can be read, and nothing can be done with it."""
    if is_kept(whose):
        set_aside(_file(whose), reason)


def _read(path: Path) -> Intent | None:
    try:
        intent = decoded(path.read_bytes())
        if path != _file(intent.whose):
            raise Unreadable(f"it is the intent of {intent.whose.drill_id} under another's name")
    except FileNotFoundError:  # its drill ended just now
        return None
    except (OSError, Unreadable) as error:
        set_aside(path, str(error))
        return None
    return intent


def _file(whose: Whose) -> Path:
    text = f"{whose.topic}\n{whose.drill_id}\n{whose.command}"
    return _folder() / f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def _folder() -> Path:
    return folder("drills", "intents")
