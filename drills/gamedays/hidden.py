"""The events of a game day's drill, without what would tell which drill it is."""

from __future__ import annotations

import base64
import binascii

import msgspec

from drills.control.events import FINAL
from schemas.records import DrillCommand, DrillEvent
from standfast.core.errors import Unreadable

NAME = "hidden"  # what its events have in the field `drill`


def hidden(event: DrillEvent) -> DrillEvent:
    """The event without name, victims, parameters, intent and findings; figures and verdicts stay."""
    keeps_reason = event.phase in FINAL and event.phase != "completed"
    return msgspec.structs.replace(
        event,
        drill=NAME,
        target=None,
        params=None,
        seed=None,
        intent=None,
        findings=None,
        reason=event.reason if keeps_reason else None,
    )


def sealed(command: DrillCommand) -> str:
    """The drill that will run, unreadable at a glance; who wants to can read it."""
    return base64.b64encode(msgspec.json.encode(command)).decode()


def unsealed(text: object) -> DrillCommand:
    """The drill in a text from `sealed`; raises Unreadable."""
    try:
        return msgspec.json.decode(base64.b64decode(str(text), validate=True), type=DrillCommand)
    except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Unreadable(f"the game day's drill cannot be read: {error}") from None
