"""Which version of a model serves, and its challenger: `active.json`, and `champion` on the topic `models`."""

from __future__ import annotations

import hashlib

import msgspec

from models.canary import Canary

_KEPT_HISTORY = 20


class Activation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which version serves (the champion), those that served before it, the last one last, and its challenger if any.

    `manifest`: the digest of that version's manifest, without which `search@2` may be another host's. `at`: when it was
    chosen, or a challenger was, or was ended; epoch milliseconds. `ended`: why the last canary ended by itself; empty
    if it did not, or another choice was made since. `digest`: of all other fields. Defaults are left out of it, so that
    a field that comes with a later release changes no digest.
    """

    version: int
    before: list[int] = []
    manifest: str = ""
    at: int = 0
    requested_by: str = ""
    canary: Canary | None = None
    ended: str = ""
    digest: str = ""

    @property
    def needed(self) -> set[int]:
        """The versions that a host must have: those that serve, and the one that a rollback goes back to."""
        challenger = {self.canary.version} if self.canary is not None else set()
        return {self.version, *self.before[-1:], *challenger}

    def digest_of(self, version: int) -> str:
        """The digest of the version that is to serve under this number; empty if none is, or it is not known."""
        if self.canary is not None and version == self.canary.version:
            return self.canary.manifest
        return self.manifest if version == self.version else ""


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
