"""Who is right when the topic `models` and a host's folder name different versions.

The topic is, unless the folder was changed since this host last followed the topic: by `models activate`, `rollback` or
`train`, while the system ran here or not. If the topic has another record too since then, the later choice counts, by
`Activation.at`. A host that never followed this topic (it is new, or the topic was made again) has nothing to say where
the topic names a version.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from consumers.versions.known import Told
from models.activations import Activation, before, is_sealed, sealed_activation
from models.canary import Canary
from standfast.core.keeping import write_whole

Decision = Literal["nothing", "agree", "publish", "follow"]


class Mark(Struct, frozen=True):
    """The last time a model's folder and the topic named the same: the topic's record, and the digest of `active.json`.

    `source`: the identity of the topic, which differs after it was made again.
    """

    source: str
    partition: int
    offset: int
    local: str


def decide(local: Activation | None, told: Told | None, mark: Mark | None) -> Decision:
    """What to do about a model; `told` is `completed`, `mark` is of the same topic."""
    if told is None:
        return "nothing" if local is None else "publish"
    if local is None:
        return "follow"
    if told.activation.digest == local.digest:
        return "agree"
    if mark is None or mark.local == local.digest:
        return "follow"
    same_record = (mark.partition, mark.offset) == told.place
    later = _rank(local) > _rank(told.activation)
    return "publish" if same_record or later else "follow"


def _rank(activation: Activation) -> tuple[int, str]:
    """The digest decides between two of the same moment: else two hosts would replace each other's for ever."""
    return activation.at, activation.digest


def completed(name: str, told: Told, local: Activation | None, digest_of: Callable[[int], str]) -> Told:
    """The activation with what a record written by hand leaves out, and with its digest.

    `digest_of`: gives the digest of the version of a number, as the topic has it; empty if it has none.
    """
    said = told.activation
    if is_sealed(name, said) and said.manifest and said.at and (said.canary is None or said.canary.manifest):
        return told
    whole = msgspec.structs.replace(
        said,
        before=said.before or before(local, said.version),
        manifest=said.manifest or digest_of(said.version),
        at=said.at or told.at,
        canary=said.canary and _whole(said.canary, told.at, digest_of),
    )
    return told._replace(activation=sealed_activation(name, whole))


def _whole(canary: Canary, at: int, digest_of: Callable[[int], str]) -> Canary:
    manifest = canary.manifest or digest_of(canary.version)
    return msgspec.structs.replace(canary, since=canary.since or at, manifest=manifest)


def read_mark(file: Path, source: str) -> Mark | None:
    """The mark in a file; None if there is none of this topic that can be read."""
    try:
        mark = msgspec.json.decode(file.read_bytes(), type=Mark)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return mark if mark.source == source else None


def write_mark(file: Path, mark: Mark) -> None:
    """Replaces the mark; raises OSError."""
    write_whole(file, msgspec.json.encode(mark))
