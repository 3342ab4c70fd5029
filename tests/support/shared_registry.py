"""Hosts that share the topic `models`, without Kafka: the topics are lists, and a host may be killed at any record."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from consumers.versions import records
from consumers.versions.host_versions import HostVersions
from consumers.versions.known import Known
from consumers.versions.records import Entry, Key, Place, Value
from models import chunks, registry
from models.activations import Activation
from models.manifests import Manifest
from standfast.core.errors import IntegrityError
from standfast.core.home import folder


class Killed(BaseException):
    """Stands for a kill."""


class Topics:
    """`models` and `models.files`; both may be made anew."""

    def __init__(self) -> None:
        self.now = 0
        self.made_anew()

    def made_anew(self) -> None:
        self._tick()
        self.source = str(self.now)
        self.models: list[tuple[bytes, bytes | None, int]] = []
        self.files: list[tuple[bytes, bytes | None]] = []

    def write(self, key: str, value: bytes | None) -> int:
        self._tick()
        self.models.append((key.encode(), value, self.now))
        return len(self.models) - 1

    def _tick(self) -> None:
        self.now = max(self.now + 1, time.time_ns() // 1_000_000)

    def compact(self) -> None:
        """Keeps the last record of each key, at its offset."""
        last = {key: number for number, (key, _, _) in enumerate(self.models)}
        self.models = [
            record if last[record[0]] == number else (b"", None, 0) for number, record in enumerate(self.models)
        ]


class PaperWire:
    """One host's way to the topics; `lives` more records and it is killed, None: never."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.lives: int | None = None
        self.spoils = False

    def tell(self, key: Key, value: Value | None) -> Place:
        self._live()
        offset = self.topics.write(key.text, None if value is None else msgspec.json.encode(value))
        self._live()
        return Place(0, offset)

    def send(self, manifest: Manifest) -> int:
        first = len(self.topics.files)
        version, _ = registry.checked(manifest.name, manifest.version)
        for key, content in chunks.chunks(version, manifest):
            self._live()
            self.topics.files.append((key, content[:-1] + b"?" if self.spoils else content))
        return first

    def forget(self, manifest: Manifest) -> None:
        for key in chunks.keys(manifest):
            self._live()
            self.topics.files = [record for record in self.topics.files if record[0] != key]

    def fetch(self, manifest: Manifest, first: int) -> None:
        there = [(key, content) for key, content in self.topics.files[first:] if content is not None]
        registry.place(manifest, lambda draft: chunks.assemble(manifest, self._alive(there), draft))

    def _alive(self, received: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for chunk in received:
            self._live()
            yield chunk

    def _live(self) -> None:
        if self.lives is not None:
            self.lives -= 1
            if self.lives < 0:
                raise Killed


class PaperHost:
    """One host: a state folder, and a follower that begins anew after each kill and each new topic."""

    def __init__(self, name: str, home: Path, topics: Topics) -> None:
        self.name, self._home = name, home
        self.wire = PaperWire(topics)
        self.serving: set[str] | None = set()
        self.notes: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._source = self.wire.topics.source
        self._known = Known(Path(self._source))
        self._read = 0
        with self.here():
            self._versions = HostVersions(
                self.name, self._source, self.wire, folder("models", ".followed"), lambda _name: self.serving
            )

    @contextmanager
    def here(self) -> Iterator[None]:
        """The block uses this host's state folder."""
        before = os.environ.get("STANDFAST_HOME")
        os.environ["STANDFAST_HOME"] = str(self._home)
        try:
            yield
        finally:
            os.environ.pop("STANDFAST_HOME")
            if before is not None:
                os.environ["STANDFAST_HOME"] = before

    def train(self, mark: str) -> int:
        """Publishes a version and activates it."""

        def fill(draft: Path) -> tuple[Mapping[str, float], Mapping[str, str]]:
            (draft / "mark.json").write_text(f'"{mark}"')
            return {}, {"mark": mark}

        with self.here():
            version = registry.publish("search", fill).version
            registry.activate("search", version)
            return version

    def activate(self, version: int) -> None:
        with self.here():
            registry.activate("search", version)

    def rollback(self) -> int:
        with self.here():
            return registry.rollback("search")

    def begin_canary(self, version: int, share: float = 0.1) -> None:
        with self.here():
            registry.begin_canary("search", version, share, shadow=False)

    def end_canary(self, reason: str) -> None:
        """Does what this host's supervisor does about a challenger that is worse; nothing if there is none."""
        now = self.active()
        with self.here():
            if now is not None and now.canary is not None:
                registry.end_canary("search", now.canary, reason)

    def loaded(self) -> tuple[int | None, int | None]:
        """The versions that the supervisor of this host has loaded."""
        with self.here():
            champion, canary, _ = registry.serving("search")
            return champion, canary.version if canary is not None else None

    def versions(self) -> dict[int, str]:
        """The digest of each version here."""
        with self.here():
            return {
                number: registry.manifest_of("search", number).digest
                for number in registry.versions("search")
                if not registry.verify("search", number)
            }

    def active(self) -> Activation | None:
        """What is active; None if that cannot be read."""
        with self.here(), suppress(IntegrityError):
            return registry.activation("search")
        return None

    def step(self, lives: int | None = None) -> None:
        """Reads the topic to its end and does one step; is killed after so many records."""
        if self._source != self.wire.topics.source:
            self._begin()
        self.wire.lives = lives
        entries = [entry for entry in map(self._entry, range(self._read, len(self.wire.topics.models))) if entry]
        self._read = len(self.wire.topics.models)
        self._known.write(entries, {0: self._read})
        try:
            with self.here():
                self.notes = self._versions.step(["search"], self._known)
        except Killed:
            self._begin()
        finally:
            self.wire.lives = None

    def _entry(self, offset: int) -> Entry | None:
        key, value, at = self.wire.topics.models[offset]
        try:
            return records.read(key, value, Place(0, offset), at)
        except records.Refused:
            return None


def settle(hosts: list[PaperHost], rounds: int = 60) -> None:
    """Lets all hosts work until none has anything to do."""
    for _ in range(rounds):
        before = _state(hosts)
        for host in hosts:
            host.step()
        if _state(hosts) == before:
            return
    raise AssertionError(f"still at work after {rounds} rounds: {[host.notes for host in hosts]}")


def _state(hosts: list[PaperHost]) -> object:
    records_so_far = len(hosts[0].wire.topics.models)
    return records_so_far, [host.active() for host in hosts], [host.versions() for host in hosts]
