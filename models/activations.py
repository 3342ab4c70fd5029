"""Which version of a model serves: what `active.json` holds, and the alias `champion` on the topic `models`."""

from __future__ import annotations

import hashlib

import msgspec

_KEPT_HISTORY = 20


class Activation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which version serves, and those that served before it, the last one last.

    `manifest`: the digest of that version's manifest, without which `search@2` may be another host's. `at`: when it was
    chosen, epoch milliseconds. `digest`: of all other fields. Defaults are left out of it, so that a field that comes
    with a later release changes no digest.
    """

    version: int
    before: list[int] = []
    manifest: str = ""
    at: int = 0
    requested_by: str = ""
    digest: str = ""

    @property
    def needed(self) -> set[int]:
        """The versions that a host must have: the one that serves, and the one that a rollback goes back to."""
        return {self.version, *self.before[-1:]}


def sealed_activation(name: str, activation: Activation) -> Activation:
    """The activation with its digest."""
    bare = msgspec.json.encode(msgspec.structs.replace(activation, digest=""), order="sorted")
    return msgspec.structs.replace(activation, digest=hashlib.sha256(name.encode() + b" " + bare).hexdigest())


def is_sealed(name: str, activation: Activation) -> bool:
    """Whether its digest is its own; that of earlier releases covered two fields."""
    of_earlier_releases = hashlib.sha256(f"{name} {activation.version} {activation.before}".encode()).hexdigest()
    plain = activation == Activation(activation.version, activation.before, digest=activation.digest)
    return activation == sealed_activation(name, activation) or (plain and activation.digest == of_earlier_releases)


def before(now: Activation | None, version: int) -> list[int]:
    """What `before` of an activation of this version says that comes after that one."""
    if now is None or now.version == version:
        return list(now.before) if now else []
    return [*now.before, now.version][-_KEPT_HISTORY:]
