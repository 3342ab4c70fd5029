"""What came in on the control topic, understood: one command, or why it is none."""

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
    """One command. `record` names the record it stands in, as no other is named; `own_id` is the drill's id unless the
    command brings one, and may be that of a record of an earlier topic of the same name.

    With `refused` set there is nothing to run; `unreadable` says that the bytes belong into the dead-letter topic.
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
    """The command in a record; never raises for what a user may have sent."""
    own_id = default_id(origin)
    try:
        command, encoding = read(origin, codec, DrillCommand)
    except Malformed as error:
        named = _what_it_names(error)
        drill_id = named.drill_id or own_id
        return Received(record, own_id, error.encoding, named, drill_id, refused=f"{error}; {_HOW}")
    except SchemaError as error:
        none = DrillCommand()
        return Received(record, own_id, Encoding.JSON, none, own_id, refused=f"{error}; {_HOW}", unreadable=True)
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
    """Raises DrillRejected for the id that another record's command has if it brings none."""
    if drill_id != own_id and re.fullmatch(re.escape(topic) + r"-[0-9]+-[0-9]+", drill_id):
        raise DrillRejected(
            f"drill_id = {drill_id}: so are commands named that bring no drill_id; leave it out or choose another"
        )


def _what_it_names(command: Malformed) -> DrillCommand:
    """The names in a command whose other fields are wrong, so that its sender finds the answer."""
    drill_id = command.text("drill_id")
    try:
        found = good_id(drill_id) if drill_id is not None else None
    except DrillRejected:
        found = None
    return DrillCommand(drill=command.text("drill"), drill_id=found)
