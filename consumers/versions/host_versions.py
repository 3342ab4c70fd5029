"""What one host does so that it serves the versions which the topic `models` names, and tells the topic of its own.

Each `step` compares what has been read of the topic with the folder and takes what is missing, from the present state
alone. So the process may be killed between any two lines: the next one sees the same differences, or fewer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from consumers.versions.agreement import Mark, completed, decide, read_mark, write_mark
from consumers.versions.known import Known, Told, ToldVersion
from consumers.versions.records import (
    ChampionKey,
    FilesSent,
    Key,
    Place,
    Value,
    VersionKey,
    VersionRecord,
    Want,
    WantKey,
)
from models import registry
from models.activations import Activation
from models.canary import Canary
from models.manifests import Manifest
from models.renumbering import renumbered
from standfast.core.errors import IntegrityError, ModelError

_log = structlog.get_logger()
_ASK_AGAIN_S = 10.0  # after files that came were not the version's
_SEND_WITHIN_S = 2.0  # each host that has the files waits for a random part of it: seldom do two send them


class Wire(Protocol):
    """Kafka (`kafka_wire`)."""

    def tell(self, key: Key, value: Value | None) -> Place:
        """Writes a record to `models`; where it is, once Kafka has it. Raises KafkaException."""

    def send(self, manifest: Manifest) -> int:
        """Puts a version's files on their topic; the offset of the first chunk. Raises ModelError."""

    def forget(self, manifest: Manifest) -> None:
        """Deletes a version's files from their topic. Raises ModelError."""

    def fetch(self, manifest: Manifest, first: int) -> None:
        """Publishes the version here, from its files on the topic. Raises ModelError, with nothing left."""


class HostVersions:
    """The versions of one host, for one topic.

    Args:
        host: its key, see `host_key`.
        source: the topic's identity.
        marks: the folder of the marks, a file a model.
        served: the labels of the versions that processes of this host serve; None while that is not settled.
    """

    def __init__(
        self, host: str, source: str, wire: Wire, marks: Path, served: Callable[[str], set[str] | None]
    ) -> None:
        self._host, self._source, self._wire, self._marks, self._served = host, source, wire, marks, served
        self._told_last: Place | None = None
        self._manifests: dict[VersionKey, tuple[int, Manifest]] = {}
        self._ask_at: dict[VersionKey, float] = {}
        self._send_at: dict[VersionKey, float] = {}
        self._unsent: dict[VersionKey, str] = {}
        self._lacking: set[VersionKey] = set()
        self._notes: dict[str, str] = {}

    def step(self, names: Iterable[str], known: Known) -> dict[str, str]:
        """Takes what can be taken now for these models; by model, what is still missing, empty where nothing is.

        Does nothing until its last record has been read again: it would be written twice.
        """
        if known.has_read(self._told_last):
            self._lacking.clear()
            self._notes = {name: self._stepped(name, known) for name in names}
        return self._notes

    def _stepped(self, name: str, known: Known) -> str:
        found = [self._guarded(part, name, known) for part in (self._tell_versions, self._agree, self._serve_others)]
        return found[1] or found[0] or found[2]

    def _guarded(self, part: Callable[[str, Known], str], name: str, known: Known) -> str:
        """What one part says; a version that is damaged here must not keep the others from being exchanged."""
        try:
            return part(name, known)
        except (ModelError, OSError) as error:
            return str(error)

    # which versions there are

    def _tell_versions(self, name: str, known: Known) -> str:
        """Tells the topic of versions it does not know; returns what is wrong with one."""
        if known.highest(name):
            registry.reserve(name, known.highest(name))
        problem = ""
        for number in registry.versions(name):
            key = VersionKey(name, number)
            manifest, told = self._manifest(key), known.version(key)
            if manifest is not None and told is None:
                self._tell(key, VersionRecord(manifest))
            elif manifest is not None and told is not None and told.record.manifest.digest != manifest.digest:
                problem = self._give_way(key)
        return problem

    def _give_way(self, key: VersionKey) -> str:
        """Another host's version has this number: ours gets another one, and once nobody serves it, the folder goes."""
        again = renumbered(key.name, key.number)
        served = self._served(key.name)
        if served is None or key.text in served:
            return f"{key.text} of this host is not the system's and becomes {again.label}"
        registry.withdraw(key.name, key.number)
        _log.warning("a version was given another number: the system has another one of that number",
                     version=key.text, now=again.label)  # fmt: skip
        return ""

    def _manifest(self, key: VersionKey) -> Manifest | None:
        """The manifest of a version here, read again when its file has changed; None if it is damaged or not there."""
        try:
            changed = (registry.folder_of(key.name, key.number) / "manifest.json").stat().st_mtime_ns
            cached = self._manifests.get(key)
            if cached is None or cached[0] != changed:
                self._manifests[key] = cached = changed, registry.manifest_of(key.name, key.number)
        except (ModelError, OSError):
            self._manifests.pop(key, None)
            return None
        return cached[1]

    # which one serves

    def _agree(self, name: str, known: Known) -> str:
        """Makes topic and folder name the same version; returns what is missing for it."""
        local, told = _local(name), known.champion(name)
        version = known.version(VersionKey(name, told.activation.version)) if told else None
        if told is not None:
            told = completed(name, told, local, lambda number: known.digest(VersionKey(name, number)))
        file = self._marks / f"{name}.json"
        decision = decide(local, told, read_mark(file, self._source))
        if decision == "publish" and local is not None:
            return self._publish(name, local, known)
        if told is None or decision == "nothing":
            return ""
        problem = self._follow(name, told, version, local, known) if decision == "follow" else ""
        now = _local(name)
        if now is not None and now.digest == told.activation.digest:
            mark = Mark(self._source, *told.place, now.digest)
            if mark != read_mark(file, self._source):
                write_mark(file, mark)
            problem = problem or self._complete(told, name, known)
        return problem

    def _publish(self, name: str, local: Activation, known: Known) -> str:
        manifest = registry.manifest_of(name, local.version)
        challenger = local.canary
        if known.digest(VersionKey(name, local.version)) != manifest.digest or (
            challenger is not None and known.digest(VersionKey(name, challenger.version)) != challenger.manifest
        ):
            return ""  # it is told first, or given another number
        if not local.manifest or not local.at:  # of an earlier release
            at = local.at or time.time_ns() // 1_000_000
            registry.follow(name, msgspec.structs.replace(local, manifest=manifest.digest, at=at), local.digest)
            return ""
        self._tell(ChampionKey(name), local)
        _log.info("other hosts are told which version serves", model=manifest.label)
        return ""

    def _follow(
        self, name: str, told: Told, version: ToldVersion | None, local: Activation | None, known: Known
    ) -> str:
        wanted = told.activation
        label = f"{name}@{wanted.version}"
        if version is None:
            return f"the topic models names {label}, of which no host has told"
        manifest = version.record.manifest
        if wanted.manifest != manifest.digest:
            return f"the topic models names {label} {wanted.manifest[:12]}…, but {label} is {manifest.digest[:12]}…"
        here = self._manifest(VersionKey(name, wanted.version))
        if here is not None and here.digest != manifest.digest:
            return f"{label} of this host is not the system's"  # it is given another number first
        is_whole = here is not None and not registry.verify(name, wanted.version)
        if not is_whole and (problem := self._ask(version, known)):
            return problem
        if registry.follow(name, wanted, local.digest if local is not None else ""):
            _log.info("the version that the topic names is active here", model=label)
        return ""

    def _complete(self, told: Told, name: str, known: Known) -> str:
        """Asks for versions that are needed and not here: those that serve, if one was lost, and the one before.

        A host without the challenger's files goes on: its champion serves alone until they are here.
        """
        problem = ""
        canary = told.activation.canary
        serve = {told.activation.version, canary.version if canary is not None else None}
        for number in sorted(self._needed(name, known), reverse=True):
            key = VersionKey(name, number)
            version = known.version(key)
            if version is not None and self._manifest(key) is None:
                missing = self._ask(version, known)
                problem = missing if number in serve else problem
        if canary is not None and (other := self._not_known(name, canary, known)):
            problem = problem or other
        return problem

    def _not_known(self, name: str, canary: Canary, known: Known) -> str:
        """Why no host can have the challenger, if so."""
        key = VersionKey(name, canary.version)
        digest = known.digest(key)
        if not digest:
            return f"the topic models names {key.text} as challenger, of which no host has told"
        if digest != canary.manifest:
            return f"the topic models names {key.text} {canary.manifest[:12]}… as challenger, but it is {digest[:12]}…"
        return ""

    # files from other hosts

    def _ask(self, version: ToldVersion, known: Known) -> str:
        """Fetches a version's files if they have been sent, else asks for them; empty once the version is here."""
        manifest = version.record.manifest
        key = VersionKey(manifest.name, manifest.version)
        self._lacking.add(key)
        asked = known.wants(key).get(self._host)
        if asked is None or time.monotonic() > self._ask_at.get(key, float("inf")):
            self._ask_at.pop(key, None)
            self._tell(WantKey(key, self._host), Want(time.time_ns() // 1_000_000))
            return f"{key.text} is not here; its files are asked for"
        files = version.record.files
        if files is None or version.place < asked:
            return f"{key.text} is not here; no other host has sent its files yet"
        if key in self._ask_at:
            return self._notes.get(key.name, "")
        try:
            self._wire.fetch(manifest, files.first)
        except ModelError as error:
            self._ask_at[key] = time.monotonic() + _ASK_AGAIN_S
            _log.warning("files of a version are refused", version=key.text, sent_by=files.host, reason=str(error))
            return f"{error}; sent by {files.host}, and asked for again"
        self._tell(WantKey(key, self._host), None)
        _log.info("a version came from another host", version=key.text, sent_by=files.host)
        return ""

    def _serve_others(self, name: str, known: Known) -> str:
        """Sends files that other hosts lack, and takes back what nobody lacks any more."""
        problem = ""
        needed = self._needed(name, known)
        for key, told in known.versions(name):
            wants = known.wants(key)
            if self._host in wants and key not in self._lacking:
                self._tell(WantKey(key, self._host), None)
            open_wants = [place for host, place in wants.items() if host != self._host and not _is_sent(told, place)]
            if key.number in needed and open_wants and self._is_here(told):
                problem = self._send(key, told)
            else:
                self._send_at.pop(key, None)
            sent = told.record.files
            if sent is not None and sent.host == self._host and (not wants or key.number not in needed):
                self._wire.forget(told.record.manifest)
                self._tell(key, VersionRecord(told.record.manifest))
        return problem

    def _needed(self, name: str, known: Known) -> set[int]:
        """The versions that every host fetches, as the topic has them: all hosts must come to the same."""
        told = known.champion(name)
        return told.activation.needed if told is not None else set()

    def _is_here(self, told: ToldVersion) -> bool:
        manifest = told.record.manifest
        here = self._manifest(VersionKey(manifest.name, manifest.version))
        return here is not None and here.digest == manifest.digest

    def _send(self, key: VersionKey, told: ToldVersion) -> str:
        due = self._send_at.setdefault(key, time.monotonic() + random.uniform(0, _SEND_WITHIN_S))
        if time.monotonic() < due:
            return self._unsent.get(key, "")
        try:
            first = self._wire.send(told.record.manifest)
        except ModelError as error:
            self._send_at[key] = time.monotonic() + _ASK_AGAIN_S
            _log.warning("files of a version cannot be sent", version=key.text, reason=str(error))
            self._unsent[key] = f"other hosts lack {key.text}, and it cannot be sent: {error}"
            return self._unsent[key]
        self._unsent.pop(key, None)
        self._tell(key, VersionRecord(told.record.manifest, FilesSent(self._host, first)))
        _log.info("files of a version are sent to hosts that lack them", version=key.text)
        return ""

    def _tell(self, key: Key, value: Value | None) -> None:
        self._told_last = self._wire.tell(key, value)


def _local(name: str) -> Activation | None:
    """What `active.json` says; None where there is none that can be read, which the topic then mends."""
    try:
        return registry.activation(name)
    except IntegrityError:
        return None


def _is_sent(told: ToldVersion, asked: Place) -> bool:
    return told.record.files is not None and told.place > asked
