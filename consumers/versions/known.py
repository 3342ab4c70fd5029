"""What has been read of the topic `models`. It is small, so it is kept in memory and read anew by each process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from consumers.versions.records import ChampionKey, Entry, Place, VersionKey, VersionRecord, Want, WantKey
from models.activations import Activation


class Told(NamedTuple):
    """An activation as the topic has it; `at`: the record's timestamp, epoch milliseconds."""

    activation: Activation
    place: Place
    at: int


class ToldVersion(NamedTuple):
    """A version as the topic has it."""

    record: VersionRecord
    place: Place


class Known:
    """The last record of each key. The follower's side of a store (`consumers.following.follower.Following`)."""

    def __init__(self, path: Path) -> None:
        self.path = path  # only its name is used: no file is written
        self._read: dict[int, int] = {}
        self._versions: dict[VersionKey, ToldVersion] = {}
        self._champions: dict[str, Told] = {}
        self._wants: dict[VersionKey, dict[str, Place]] = {}

    @property
    def positions(self) -> dict[int, int]:
        """Nothing: the topic is read from its beginning."""
        return {}

    @property
    def size(self) -> int:
        """The number of versions."""
        return len(self._versions)

    def write(self, changes: Iterable[Entry], positions: dict[int, int]) -> None:
        """Takes in records, in the order of the topic."""
        for entry in changes:
            self._take(entry)
        self._read |= positions

    def touch(self) -> bool:
        """True: nothing can be deleted under it."""
        return True

    def limit_wal(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""

    def has_read(self, place: Place | None) -> bool:
        """Whether the record there has been read; true for None."""
        return place is None or self._read.get(place.partition, 0) > place.offset

    def version(self, key: VersionKey) -> ToldVersion | None:
        """The version of that number."""
        return self._versions.get(key)

    def digest(self, key: VersionKey) -> str:
        """The digest of the manifest of that version; empty if none is known."""
        told = self._versions.get(key)
        return told.record.manifest.digest if told is not None else ""

    def versions(self, name: str) -> Iterator[tuple[VersionKey, ToldVersion]]:
        """All versions of a model."""
        return ((key, told) for key, told in list(self._versions.items()) if key.name == name)

    def highest(self, name: str) -> int:
        """The highest number of a version of the model, 0 if there is none."""
        return max((key.number for key in self._versions if key.name == name), default=0)

    def champion(self, name: str) -> Told | None:
        """The version that is to serve."""
        return self._champions.get(name)

    def wants(self, key: VersionKey) -> dict[str, Place]:
        """The hosts that lack the files of a version."""
        return dict(self._wants.get(key, {}))

    def _take(self, entry: Entry) -> None:
        if isinstance(entry.key, WantKey):
            wants = self._wants.setdefault(entry.key.version, {})
            wants.pop(entry.key.host, None)
            if isinstance(entry.value, Want):
                wants[entry.key.host] = entry.place
        elif isinstance(entry.key, ChampionKey):
            self._champions.pop(entry.key.name, None)
            if isinstance(entry.value, Activation):
                self._champions[entry.key.name] = Told(entry.value, entry.place, entry.at)
        else:
            self._versions.pop(entry.key, None)
            if isinstance(entry.value, VersionRecord):
                self._versions[entry.key] = ToldVersion(entry.value, entry.place)
