"""A command that could not be read, as it goes to `drills.control.dlq`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consumers.requests.admission import Origin
from schemas.dead_letters import dead_letter_headers
from schemas.topics import DEAD_LETTER_SUFFIX

_SIZE = "error-value-bytes"
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class CommandLetter:
    """The command as it came, with the headers that say why it is here."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    ours: int

    def shortened(self) -> CommandLetter | None:
        """The same without what came from outside, None if that was done before: for one that its topic refuses."""
        if any(name == _SIZE for name, _ in self.headers[-self.ours :]):
            return None
        size = (_SIZE, str(len(self.value or b"")).encode())
        headers = [*self.headers[-self.ours :], size]
        return replace(self, key=None, value=None, headers=headers, ours=len(headers))


def dead_letter(origin: Origin, reason: str) -> CommandLetter:
    """The dead letter of a command."""
    place = (origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    headers = dead_letter_headers(origin.headers, reason, *place, "drills")
    return CommandLetter(
        origin.topic + DEAD_LETTER_SUFFIX, origin.key, origin.value, headers, len(headers) - len(origin.headers)
    )
