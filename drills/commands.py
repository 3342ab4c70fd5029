"""What came in on the control topic, understood: one command, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Message

from consumers.dead_letters import dead_letter_headers
from drills.journal import DeadLetter
from drills.plan import good_id
from schemas.codec import Codec, Encoding, Malformed
from schemas.records import DrillCommand
from schemas.topics import DEAD_LETTER_SUFFIX
from standfast.errors import DrillRejected, SchemaError, Unreadable

_HOW = 'send the bare word worker-kill, {"drill": "worker-kill"} or {"abort": "<drill_id>"}'


@dataclass(frozen=True, slots=True)
class Received:
    """One command. `own_id` names the record itself, the same at every delivery; it is the drill's id too, unless the
    command brings one.

    With `refused` set there is nothing to run; `unreadable` says that the bytes belong into the dead-letter topic.
    """

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


def received(message: Message, codec: Codec) -> Received:
    """The command in a record; never raises for what a user may have sent."""
    own_id = f"{message.topic()}-{message.partition()}-{message.offset()}"
    try:
        command, encoding = codec.decode(message.value(), DrillCommand)
    except Malformed as error:
        named = _what_it_names(error)
        return Received(own_id, error.encoding, named, named.drill_id or own_id, refused=f"{error}; {_HOW}")
    except (Unreadable, SchemaError) as error:
        return Received(own_id, Encoding.JSON, DrillCommand(), own_id, refused=f"{error}; {_HOW}", unreadable=True)
    refused = None
    drill_id = own_id
    try:
        drill_id = good_id(command.drill_id) if command.drill_id is not None else own_id
        if (command.drill is None) == (command.abort is None):
            raise DrillRejected(f"a command names either a drill or an abort; {_HOW}")
    except DrillRejected as error:
        refused = str(error)
    return Received(own_id, encoding, command, drill_id, refused)


def dead_letter(message: Message, reason: str) -> DeadLetter:
    """The record for `drills.control.dlq`."""
    _, timestamp = message.timestamp()
    headers = dead_letter_headers(
        message.headers(), reason, message.topic(), message.partition(), message.offset(), timestamp, "drills"
    )
    return DeadLetter(message.topic() + DEAD_LETTER_SUFFIX, message.key(), message.value(), headers)


def _what_it_names(command: Malformed) -> DrillCommand:
    """The names in a command whose other fields are wrong, so that its sender finds the answer."""
    drill_id = command.text("drill_id")
    try:
        found = good_id(drill_id) if drill_id is not None else None
    except DrillRejected:
        found = None
    return DrillCommand(drill=command.text("drill"), drill_id=found)
