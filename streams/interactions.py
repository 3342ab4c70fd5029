"""Checks whether an interaction can be folded into a profile."""

from __future__ import annotations

import math

from schemas.records import Interaction
from standfast.core.errors import SchemaError

# A time in seconds or microseconds instead of milliseconds is a common mistake; one in microseconds would stay the
# newest for ever.
_AHEAD_MS = 24 * 3_600_000


def check(interaction: Interaction, at: int) -> None:
    """Raises SchemaError, with the reason, if it cannot be used. `at`: the record's timestamp, epoch milliseconds."""
    for name in ("user_id", "item_id", "event"):
        if not getattr(interaction, name).strip():
            raise SchemaError(f"{name} is empty; an interaction needs user_id and item_id")
    if interaction.value is not None and not math.isfinite(interaction.value):
        raise SchemaError(f"value is {interaction.value}; send a number or leave it out")
    when = interaction.timestamp
    if when is not None and not 0 <= when <= at + _AHEAD_MS:
        raise SchemaError(f"timestamp {when} is not within a day of its record's {at}; send epoch milliseconds")
