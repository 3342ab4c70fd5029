"""The records on the topic `models`, in JSON text.

search@3                  `VersionRecord`: the manifest of a version; kept for ever, as its number is given once
search/champion           `Activation`: the version that serves, and its challenger; a person may write `{"version": 3}`
search@3/wanted/HOST      `Want`: that host lacks the files of the version
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
from msgspec import Struct

from models.activations import Activation
from models.canary import Canary
from models.manifests import Manifest, foreign_file, sealed

TOPIC = "models"
FILES = "models.files"
_KEY = re.compile(
    r"(?P<name>[a-z_][a-z0-9_]*)(?:/champion|@(?P<number>[1-9][0-9]{0,8})(?:/wanted/(?P<host>[A-Za-z0-9._-]{1,300}))?)"
)
_MOST_BYTES = 64 << 30  # of a version: its chunks are kept in a list while they are fetched
_MOST_CHARACTERS = 200
_MOST_CHARACTERS_OF_REASON = 2000
_MOST_BEFORE = 1000


class FilesSent(Struct, frozen=True):
    """Which host has put a version's files into `models.files`, and the offset of the first chunk there."""

    host: str
    first: int


class VersionRecord(Struct, frozen=True, omit_defaults=True):
    """One version. `files`: None while its files are not on their topic."""

    manifest: Manifest
    files: FilesSent | None = None


class Want(Struct, frozen=True):
    """A host lacks a version's files; asked for at `at`, epoch milliseconds."""

    at: int = 0


class Place(NamedTuple):
    """Where a record is."""

    partition: int
    offset: int


class VersionKey(NamedTuple):
    """The key of a version."""

    name: str
    number: int

    @property
    def text(self) -> str:
        """As it is on the topic: `search@3`."""
        return f"{self.name}@{self.number}"


class ChampionKey(NamedTuple):
    """The key of the version that serves."""

    name: str

    @property
    def text(self) -> str:
        """As it is on the topic: `search/champion`."""
        return f"{self.name}/champion"


class WantKey(NamedTuple):
    """The key of a host's want."""

    version: VersionKey
    host: str

    @property
    def text(self) -> str:
        """As it is on the topic: `search@3/wanted/b-1f0c9a2e`."""
        return f"{self.version.text}/wanted/{self.host}"


Key = VersionKey | ChampionKey | WantKey
Value = VersionRecord | Activation | Want


class Entry(NamedTuple):
    """One record; `value` None: deleted. `at`: the record's timestamp, epoch milliseconds."""

    key: Key
    value: Value | None
    place: Place
    at: int


class Refused(Exception):
    """A record that means nothing here; the text says why."""


def read(key: bytes | None, value: bytes | None, place: Place, at: int) -> Entry:
    """The record's meaning. Raises Refused."""
    parsed = _key(key)
    if value is None:
        return Entry(parsed, None, place, at)
    kind: type[Value] = (
        VersionRecord if isinstance(parsed, VersionKey) else Activation if isinstance(parsed, ChampionKey) else Want
    )
    try:
        read_value: Value = msgspec.json.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refused(f"its value cannot be read: {str(error)[:300]}") from None
    if isinstance(read_value, VersionRecord) and isinstance(parsed, VersionKey):
        _check_version(parsed, read_value.manifest)
    elif isinstance(read_value, Activation):
        _check_activation(read_value)
    return Entry(parsed, read_value, place, at)


def _key(key: bytes | None) -> Key:
    match = _KEY.fullmatch((key or b"").decode("utf-8", "replace"))
    if match is None:
        raise Refused("its key is none; write search/champion, or search@<number> for a version")
    if match["number"] is None:
        return ChampionKey(match["name"])
    version = VersionKey(match["name"], int(match["number"]))
    return WantKey(version, match["host"]) if match["host"] else version


def _check_version(key: VersionKey, manifest: Manifest) -> None:
    if (manifest.name, manifest.version) != (key.name, key.number):
        raise Refused(f"its manifest is of {manifest.label[:100]}")
    if sealed(manifest) != manifest:
        raise Refused("its manifest was changed after it was published")
    if (foreign := foreign_file(manifest)) is not None:
        raise Refused(f"{foreign[:100]!r} is no file of a model")
    sizes = [entry.size for entry in manifest.files.values()]
    if min(sizes, default=0) < 0 or sum(sizes) > _MOST_BYTES:
        raise Refused(f"its files have {sum(sizes):,} bytes")


def _check_activation(activation: Activation) -> None:
    if not 0 < activation.version < 10**9:
        raise Refused(f"version {activation.version} is none")
    if len(activation.requested_by) > _MOST_CHARACTERS or len(activation.before) > _MOST_BEFORE:
        raise Refused("requested_by or before is too long")
    if len(activation.ended) > _MOST_CHARACTERS_OF_REASON:
        raise Refused("ended is too long")
    if activation.canary is not None:
        _check_canary(activation.canary, activation.version)


def _check_canary(canary: Canary, champion: int) -> None:
    if not 0 < canary.version < 10**9:
        raise Refused(f"its challenger, version {canary.version}, is none")
    if canary.version == champion:
        raise Refused(f"its challenger, version {champion}, is the version that serves")
    if not 0.0 <= canary.share <= 1.0:
        raise Refused(f"canary.share {canary.share} is none; write one from 0 to 1, such as 0.1")
    if not canary.share and not canary.shadow:
        raise Refused("its challenger has nothing to do; give it a share, or shadow = true")
    if not 0 <= canary.since < 1 << 53:
        raise Refused(f"canary.since {canary.since} is no time in epoch milliseconds")
