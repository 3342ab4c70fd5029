"""The profiles as they are known here, and the writing of those that changed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import Codec, Encoding
from schemas.records import Interaction, Profile
from schemas.topics import BY_NAME
from standfast.core.errors import SchemaError
from streams.kept import Kept, Place
from streams.oldest_offsets import OldestOffsets, Partition
from streams.profiles import fold, without_oldest

_log = structlog.get_logger()
# What Kafka adds around one record's key and value in a batch of its own.
_ENVELOPE = 1024
# The first change is written at once, those that follow on its heels together: three times the interactions a second.
_BREATH_S = 0.02

Write = Callable[[int, bytes, bytes | None], Awaitable[Awaitable[object]]]


class ProfileTooLarge(SchemaError):
    """The profile would not fit into a record any more."""


class Keeper:
    """Every user's profile by partition: those that have changed lately in memory, all in a file.

    Not a Faust table, for two reasons: its memory store knows a user once, although callers may put one user into
    several partitions, and of two such profiles read back only one would survive; and a change that could not be
    written is logged and its interaction committed all the same.

    Changes made while earlier ones are being written go out together, once per user: a backlog costs one profile a
    user, not one an interaction.
    """

    def __init__(self, oldest: OldestOffsets, keep: int) -> None:
        self._kept: Kept | None = None
        self._places = 1
        self._oldest = oldest
        self._keep = keep
        self._codec = Codec()
        self._changed: dict[Place, bytes | None] = {}  # to be written
        self._sent: dict[Place, bytes | None] = {}  # written or on its way to Kafka, and not in the file yet
        self._reached: dict[int, int] = {}
        self._said = ""
        self._generation = 0
        self._wake = asyncio.Event()

    def pause(self) -> Kept | None:
        """Before the profiles are read back: lets go of the file, which is to be closed."""
        kept, self._kept = self._kept, None
        return kept

    def restart_from(self, kept: Kept, places: int) -> None:
        """Goes on from what lies in `profiles`, a topic of so many partitions.

        Changes not written yet come again with their interactions. Partitions that were added to `interactions` alone
        share those of `profiles`.
        """
        self._kept, self._places = kept, places
        self._changed, self._sent, self._reached = {}, {}, {}

    def reached(self, positions: Mapping[int, int]) -> None:
        """What others wrote into `profiles` before these offsets has been told by `erase`."""
        self._reached |= positions

    def fold(self, source: Partition, offset: int, interaction: Interaction, at: int) -> bool:
        """Takes one interaction in; whether that changed the profile. Raises ProfileTooLarge and sqlite3.Error."""
        if self._kept is None:  # it comes again when the profiles are read back; until then nobody may pass it over
            self._oldest.hold(source, "profiles are read back", offset)
            return False
        key = interaction.user_id.encode()
        place = source[1] % self._places, key
        before = self._read(self._known(self._kept, place))
        after = fold(before, interaction, at, self._keep)
        if after is not before:
            self._changed[place] = self._fitting(after, len(key))
        elif place not in self._changed:
            return False
        self._oldest.hold(source, ("profile", self._generation), offset)
        self._wake.set()
        return after is not before

    def erase(self, place: int, user: bytes, at: int) -> None:
        """Forgets what the profile in this partition says of the time until then, here and in what is written of it.

        It is deleted once more, since this process may have written it between the deletion and hearing of that.
        """
        data = self._known(self._kept, (place, user)) if self._kept is not None else None
        if data is None:
            return
        before, after = self._read(data), None
        left = [seen for seen in before.items if seen.timestamp > at] if before else []
        if before and left:
            profile = Profile(user_id=user.decode("utf-8", "replace"), items=left, updated_at=before.updated_at)
            after = self._codec.encode(profile, Encoding.JSON)
        self._changed[place, user] = after
        self._wake.set()

    async def write_changes(self, write: Write) -> None:
        """Writes what changed until there is nothing left, then waits for more; ends only with an error."""
        wrote = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(max(0.0, wrote + _BREATH_S - time.monotonic()))
            self._wake.clear()
            changed, self._changed = self._changed, {}
            self._sent |= changed
            kept, reached = self._kept, dict(self._reached)
            generation, self._generation = self._generation, self._generation + 1
            sent = [await write(partition, user, data) for (partition, user), data in changed.items()]
            for outcome in await asyncio.gather(*sent, return_exceptions=True):
                _raise_unless_refused(outcome)
            await self._put(kept, reached)
            self._oldest.release_everywhere(("profile", generation))
            wrote = time.monotonic()

    async def _put(self, kept: Kept | None, reached: dict[int, int]) -> None:
        """What Kafka has goes into the file. Where that fails it stays in memory, and goes with the next."""
        if kept is None or kept is not self._kept:
            return
        try:
            await asyncio.to_thread(kept.put, dict(self._sent), reached)
        except (sqlite3.Error, OSError) as error:
            if str(error) != self._said:
                _log.error("profiles stay in memory; make room below run/ on the disk", error=str(error))
            self._said = str(error)
            return
        self._said = ""
        if kept is self._kept:
            self._sent = {}

    def _known(self, kept: Kept, place: Place) -> bytes | None:
        for changes in (self._changed, self._sent):
            if place in changes:
                return changes[place]
        try:
            return kept.get(place)
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):
                kept.give_up()
            raise

    def _fitting(self, profile: Profile, key_bytes: int) -> bytes:
        """Its bytes, with fewer of the products of long ago where they would not fit into a record."""
        data = self._codec.encode(profile, Encoding.JSON)
        room = BY_NAME["profiles"].max_bytes - _ENVELOPE - key_bytes
        while len(data) > room and profile.earlier:
            profile = without_oldest(profile)
            data = self._codec.encode(profile, Encoding.JSON)
        if len(data) > room:
            raise ProfileTooLarge(f"the user's profile would take {len(data)} bytes; it may have {room}")
        return data

    def _read(self, data: bytes | None) -> Profile | None:
        if data is None:
            return None
        try:
            return self._codec.decode(data, Profile)[0]
        except SchemaError as error:
            _log.warning("a profile that cannot be read is begun anew", reason=str(error))
            return None


def _raise_unless_refused(outcome: object) -> None:
    if isinstance(outcome, MessageSizeTooLargeError):
        _log.error("a profile is larger than the topic allows; raise its max.message.bytes")
    elif isinstance(outcome, BaseException):
        raise outcome
