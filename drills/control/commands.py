"""Decoding a record of the control topic: the command in it, or the reason why it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from consumers.requests.admission import Origin, default_id, read
from drills.running.plan import good_id
from schemas.codec import Codec, Encoding, Malformed
from schemas.records import DrillCommand
from standfast.core.errors import DrillRejected, SchemaError

_HOW = 'send the bare word worker-kill, {"drill": "worker-kill"} or {"abort": "<drill_id>"}'
_ORDERS = ("gameday", "lever", "approve", "campaign", "abort", "drill")
_LEVER = ("engaged", "released")


@dataclass(frozen=True, slots=True)
class Received:
    """One command as it was read from Kafka.

    Args:
        record: the unique name of its record: topic, partition, offset and topic id.
        own_id: the drill's id if the command has no `drill_id`: topic, partition and offset. It is not unique: a topic
            that is deleted and created again starts again at offset 0.
        refused: why nothing is run; None for a command that may be run.
        unreadable: the record goes to the dead-letter topic.
        signed_by: the name of the key that signed it; None for an unsigned command.
    """

    record: str
    own_id: str
    encoding: Encoding
    command: DrillCommand
    drill_id: str
    refused: str | None = None
    unreadable: bool = False
    signed_by: str | None = None

    @property
    def order(self) -> str:
        """Which of the orders it is: a field of the command."""
        return next((name for name in _ORDERS if getattr(self.command, name) is not None), "?")

    @property
    def name(self) -> str:
        """The drill's name for the outcome stream; for another order than a drill the order's."""
        if self.order == "campaign":
            return campaign_event(self.command.campaign or "")[:100]
        return ((self.command.drill or "?") if self.order == "drill" else self.order)[:100]

    @property
    def by(self) -> str | None:
        """Who sent it: the signing key's name, or who it says it is."""
        return self.signed_by or (self.command.requested_by[:1000] if self.command.requested_by else None)

    @property
    def only_stops(self) -> bool:
        """Whether it can only end drills: stopping must not fail for want of a key."""
        return self.order == "abort" or (self.order == "lever" and self.command.lever == "engaged")


def campaign_event(name: str) -> str:
    """What the events of a campaign have in the field `drill`; no drill can be named so."""
    return f"campaign:{name}"


def received(origin: Origin, record: str, codec: Codec) -> Received:
    """The command in a record; whatever the record contains, it does not raise."""
    own_id = default_id(origin)
    try:
        command, encoding = read(origin, codec, DrillCommand)
    except Malformed as error:
        readable = _readable_fields(error)
        drill_id = readable.drill_id or own_id
        return Received(record, own_id, error.encoding, readable, drill_id, refused=f"{error}; {_HOW}")
    except SchemaError as error:
        empty = DrillCommand()
        return Received(record, own_id, Encoding.JSON, empty, own_id, refused=f"{error}; {_HOW}", unreadable=True)
    refused = None
    drill_id = own_id
    try:
        drill_id = good_id(command.drill_id) if command.drill_id is not None else own_id
        _refuse_if_taken(drill_id, own_id, origin.topic)
        _refuse_unless_one(command)
    except DrillRejected as error:
        refused = str(error)
    return Received(record, own_id, encoding, command, drill_id, refused)


def _refuse_unless_one(command: DrillCommand) -> None:
    """Raises DrillRejected unless it is exactly one order; only a game day may name a drill besides."""
    given = [name for name in _ORDERS if getattr(command, name) is not None]
    if len(given) != 1 and set(given) != {"gameday", "drill"}:
        what = f"this one has {' and '.join(given)}" if given else f"this one has none of {', '.join(_ORDERS)}"
        raise DrillRejected(f"a command names either a drill or an abort, or gives one other order; {what}; {_HOW}")
    if command.lever is not None and command.lever not in _LEVER:
        raise DrillRejected(f"lever = {command.lever!r:.100}: give {' or '.join(_LEVER)}")


def _refuse_if_taken(drill_id: str, own_id: str, topic: str) -> None:
    """Raises DrillRejected for an id that is the default id of another record's command."""
    if drill_id != own_id and re.fullmatch(re.escape(topic) + r"-[0-9]+-[0-9]+", drill_id):
        raise DrillRejected(
            f"drill_id = {drill_id}: so are commands named that bring no drill_id; leave it out or choose another"
        )


def _readable_fields(command: Malformed) -> DrillCommand:
    """The drill and its id from a command with invalid fields, so that its sender finds the answer under its id."""
    drill_id = command.text("drill_id")
    try:
        valid_id = good_id(drill_id) if drill_id is not None else None
    except DrillRejected:
        valid_id = None
    return DrillCommand(drill=command.text("drill"), drill_id=valid_id)
