"""A version that is tried beside the one that serves, and the versions that a process has in memory for it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Versions(NamedTuple):
    """The versions that a process has in memory: the champion's, and the challenger's if any. As text `1+3`."""

    champion: int
    challenger: int | None = None

    def __str__(self) -> str:
        return f"{self.champion}" if self.challenger is None else f"{self.champion}+{self.challenger}"

    @classmethod
    def read(cls, text: str) -> Versions:
        """The versions that `str` has written."""
        champion, _, challenger = text.partition("+")
        return cls(int(champion), int(challenger) if challenger else None)


class Canary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version that is tried beside the one that serves: its challenger.

    `share`: of the keys that it answers, 0 to 1. `shadow`: it also computes what it does not answer, to be compared.
    `since`: when it began, epoch milliseconds, which tells two canaries of one version apart. `manifest`: the digest of
    that version's manifest.
    """

    version: int
    share: float = 0.0
    shadow: bool = False
    since: int = 0
    manifest: str = ""

    @property
    def about(self) -> str:
        """What it does, in words."""
        answers = [f"answers {self.share * 100:g} % of the keys"] if self.share else []
        return " and ".join([*answers, *(["computes in the shadow"] if self.shadow else [])])

    def is_same(self, other: Canary | None) -> bool:
        """Whether the other is this canary too, perhaps with another share."""
        return other is not None and (self.version, self.since) == (other.version, other.since)
