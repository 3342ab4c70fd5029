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


@dataclass(frozen=True, slots=True)
class Received:
    """One command as it was read from Kafka.

    Args:
        record: the unique name of its record: topic, partition, offset and topic id.
        own_id: the drill's id if the command has no `drill_id`: topic, partition and offset. It is not unique: a topic
            that is deleted and created again starts again at offset 0.
        refused: why nothing is run; None for a command that may be run.
        unreadable: the record goes to the dead-letter topic.
    """

    record: str
    own_id: str
    encoding: Encoding
    command: DrillCommand
    drill_id: str
    refused: str | None = None
    unreadable: bool = False

    @property
    def name(self) -> str:
        """The drill's name for the outcome stream."""
        return (self.command.drill or ("abort" if self.command.abort is not None else "?"))[:100]


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
        if (command.drill is None) == (command.abort is None):
            raise DrillRejected(f"a command names either a drill or an abort; {_HOW}")
    except DrillRejected as error:
        refused = str(error)
    return Received(record, own_id, encoding, command, drill_id, refused)


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
