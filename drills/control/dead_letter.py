"""The dead letter of a command that could not be decoded, for `drills.control.dlq`."""

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
    """The record as it was read, with headers that give the reason. The last `ours` of `headers` are those."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    ours: int

    def shortened(self) -> CommandLetter | None:
        """The letter without the sender's key, value and headers, for a topic that refuses the whole; None if they have
        been removed already."""
        if any(name == _SIZE for name, _ in self.headers[-self.ours :]):
            return None
        size_header = (_SIZE, str(len(self.value or b"")).encode())
        headers = [*self.headers[-self.ours :], size_header]
        return replace(self, key=None, value=None, headers=headers, ours=len(headers))


def dead_letter(origin: Origin, reason: str) -> CommandLetter:
    """The dead letter of the command that was read from `origin`."""
    source = (origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
    headers = dead_letter_headers(origin.headers, reason, *source, "drills")
    return CommandLetter(
        origin.topic + DEAD_LETTER_SUFFIX, origin.key, origin.value, headers, len(headers) - len(origin.headers)
    )
