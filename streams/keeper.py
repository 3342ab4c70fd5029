"""Folds interactions into profiles, and writes the changed profiles to Kafka and to the file."""

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
from streams.kept import ProfileFile, ProfileKey
from streams.oldest_offsets import OldestOffsets, Partition
from streams.profiles import fold, without_oldest

_log = structlog.get_logger()
# Bytes; more than Kafka adds to one record's key and value in a batch of its own.
_ENVELOPE = 1024
# The first change is written at once, those that follow within this time together: that processes three times as many
# interactions a second.
_WRITE_EVERY_S = 0.02

Write = Callable[[int, bytes, bytes | None], Awaitable[Awaitable[object]]]


class ProfileTooLarge(SchemaError):
    """The profile would exceed the size limit of a record."""


class Keeper:
    """Every user's profile by partition: recently changed ones in memory, all in a file.

    Not a Faust table, for two reasons. Its memory store has one entry for a user, although callers may write one user
    into several partitions: of two such profiles only one would survive a restore. And where a change could not be
    written, Faust logs that and commits the interaction.

    Changes made while earlier ones are being written are written together, one profile for each user: a backlog costs
    one write a user, not one an interaction.
    """

    def __init__(self, oldest: OldestOffsets, keep: int) -> None:
        self._profile_file: ProfileFile | None = None
        self._partitions = 1
        self._oldest = oldest
        self._keep = keep
        self._codec = Codec()
        self._changed: dict[ProfileKey, bytes | None] = {}  # to be written
        self._not_in_file: dict[ProfileKey, bytes | None] = {}  # in Kafka or on the way
        self._reached: dict[int, int] = {}
        self._last_error = ""
        self._generation = 0
        self._wake = asyncio.Event()

    def pause(self) -> ProfileFile | None:
        """Stops using the file, before the profiles are read back, and returns it for the caller to close."""
        profile_file, self._profile_file = self._profile_file, None
        return profile_file

    def restart_from(self, profile_file: ProfileFile, partitions: int) -> None:
        """Goes on from the profiles in the file; `partitions` is the number of partitions of `profiles`.

        Changes that were not written are dropped, because their interactions are read again. If `interactions` has more
        partitions than `profiles`, they share those of `profiles`.
        """
        self._profile_file, self._partitions = profile_file, partitions
        self._changed, self._not_in_file, self._reached = {}, {}, {}

    def reached(self, positions: Mapping[int, int]) -> None:
        """Notes the next offsets of `profiles`: `erase` was called for all tombstones before them."""
        self._reached |= positions

    def fold(self, source: Partition, offset: int, interaction: Interaction, at: int) -> bool:
        """Folds an interaction into a profile; True if that changed it. Raises ProfileTooLarge and sqlite3.Error."""
        if self._profile_file is None:
            # The interaction is read again after the profiles are read back, so it must not be committed before.
            self._oldest.hold(source, "profiles are read back", offset)
            return False
        user = interaction.user_id.encode()
        key = source[1] % self._partitions, user
        old = self._read(self._known(self._profile_file, key))
        new = fold(old, interaction, at, self._keep)
        if new is not old:
            self._changed[key] = self._encode_within_limit(new, len(user))
        elif key not in self._changed:
            return False
        self._oldest.hold(source, ("profile", self._generation), offset)
        self._wake.set()
        return new is not old

    def erase(self, partition: int, user: bytes, at: int) -> None:
        """Removes the interactions up to `at`, epoch milliseconds, from the profile in this partition.

        The rest of the profile, or a tombstone, is written again, because this process may have written the profile
        after it was deleted and before it read the tombstone.
        """
        data = self._known(self._profile_file, (partition, user)) if self._profile_file is not None else None
        if data is None:
            return
        old, new = self._read(data), None
        items_left = [interaction for interaction in old.items if interaction.timestamp > at] if old else []
        if old and items_left:
            profile = Profile(user_id=user.decode("utf-8", "replace"), items=items_left, updated_at=old.updated_at)
            new = self._codec.encode(profile, Encoding.JSON)
        self._changed[partition, user] = new
        self._wake.set()

    async def write_changes(self, write: Write) -> None:
        """Writes changed profiles, and waits for more; ends only with an error."""
        wrote_at = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(max(0.0, wrote_at + _WRITE_EVERY_S - time.monotonic()))
            self._wake.clear()
            changed, self._changed = self._changed, {}
            self._not_in_file |= changed
            profile_file, reached = self._profile_file, dict(self._reached)
            generation, self._generation = self._generation, self._generation + 1
            deliveries = [await write(partition, user, data) for (partition, user), data in changed.items()]
            for result in await asyncio.gather(*deliveries, return_exceptions=True):
                _raise_unless_refused(result)
            await self._put(profile_file, reached)
            self._oldest.release_everywhere(("profile", generation))
            wrote_at = time.monotonic()

    async def _put(self, profile_file: ProfileFile | None, reached: dict[int, int]) -> None:
        """Writes profiles that are in Kafka to the file. If that fails, they stay in memory until the next call."""
        if profile_file is None or profile_file is not self._profile_file:
            return
        try:
            await asyncio.to_thread(profile_file.put, dict(self._not_in_file), reached)
        except (sqlite3.Error, OSError) as error:
            if str(error) != self._last_error:
                _log.error("profiles stay in memory; make room below run/ on the disk", error=str(error))
            self._last_error = str(error)
            return
        self._last_error = ""
        if profile_file is self._profile_file:
            self._not_in_file = {}

    def _known(self, profile_file: ProfileFile, key: ProfileKey) -> bytes | None:
        for changes in (self._changed, self._not_in_file):
            if key in changes:
                return changes[key]
        try:
            return profile_file.get(key)
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):
                profile_file.give_up()
            raise

    def _encode_within_limit(self, profile: Profile, key_bytes: int) -> bytes:
        """The profile's bytes; without the oldest of `earlier` if it would exceed the size limit of a record."""
        data = self._codec.encode(profile, Encoding.JSON)
        max_bytes = BY_NAME["profiles"].max_bytes - _ENVELOPE - key_bytes
        while len(data) > max_bytes and profile.earlier:
            profile = without_oldest(profile)
            data = self._codec.encode(profile, Encoding.JSON)
        if len(data) > max_bytes:
            raise ProfileTooLarge(f"the user's profile would take {len(data)} bytes; it may have {max_bytes}")
        return data

    def _read(self, data: bytes | None) -> Profile | None:
        if data is None:
            return None
        try:
            return self._codec.decode(data, Profile)[0]
        except SchemaError as error:
            _log.warning("a profile that cannot be read is begun anew", reason=str(error))
            return None


def _raise_unless_refused(result: object) -> None:
    if isinstance(result, MessageSizeTooLargeError):
        _log.error("a profile is larger than the topic allows; raise its max.message.bytes")
    elif isinstance(result, BaseException):
        raise result
