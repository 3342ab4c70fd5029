"""The agent's files: what it is about to inject, so that the next agent can undo it, also while Kafka is down."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from drills.agent.messages import FaultName
from drills.faults.injector import Aim, Target
from standfast.core.errors import SetupError, Unreadable
from standfast.core.home import folder
from standfast.core.keeping import set_aside, write_whole

_VERSION = 1  # of the JSON form
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FaultIntent:
    """A fault that is about to be injected, or was. `topic`: two systems may share a state folder."""

    name: FaultName
    topic: str
    service: str
    fault: str
    aim: Aim
    target: Target
    version: int = _VERSION


def encoded(intent: FaultIntent) -> bytes:
    """The intent as JSON."""
    return msgspec.json.encode(intent)


def decoded(text: bytes) -> FaultIntent:
    """The intent in a text from `encoded`; raises Unreadable."""
    try:
        intent = msgspec.json.decode(text, type=FaultIntent)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unreadable(f"this is no intent of a fault: {error}") from None
    if intent.version != _VERSION:
        raise Unreadable(f"the intent has version {intent.version}; this agent reads version {_VERSION}")
    return intent


def keep(intent: FaultIntent) -> None:
    """Writes the file and syncs it to disk. Raises OSError, or SetupError if the state folder cannot be created."""
    write_whole(_file(intent.topic, intent.name), encoded(intent))


def kept(topic: str) -> list[FaultIntent]:
    """All intents in the state folder for that topic; files that cannot be decoded are moved aside."""
    try:
        intents = [_read(path) for path in sorted(_folder().glob("*.json"))]
    except (OSError, SetupError) as error:
        _log.error("the intents of faults cannot be read", error=str(error))
        return []
    return [intent for intent in intents if intent is not None and intent.topic == topic]


def forget(topic: str, name: FaultName) -> None:
    """Deletes the file, if there is one; an error is logged, and the next agent undoes the fault once more."""
    try:
        _file(topic, name).unlink(missing_ok=True)
    except (OSError, SetupError) as error:
        _log.error("the file of an intent cannot be deleted", fault=name.key, error=str(error))


def put_aside(topic: str, name: FaultName, reason: str) -> None:
    """Moves the file aside: it can be decoded, but its fault cannot be undone."""
    try:
        file = _file(topic, name)
        if file.exists():
            set_aside(file, reason)
    except (OSError, SetupError) as error:
        _log.error("the file of an intent cannot be moved aside", fault=name.key, error=str(error))


def _read(path: Path) -> FaultIntent | None:
    try:
        intent = decoded(path.read_bytes())
        if path != _file(intent.topic, intent.name):
            raise Unreadable(f"it is the intent of {intent.name.key} under another's name")
    except FileNotFoundError:  # its fault has just been undone
        return None
    except (OSError, Unreadable) as error:
        set_aside(path, str(error))
        return None
    return intent


def _file(topic: str, name: FaultName) -> Path:
    text = f"{topic}\n{name.key}"
    return _folder() / f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def _folder() -> Path:
    return folder("drills", "intents")
