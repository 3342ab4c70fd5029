"""What a worker has seen of a challenger beside the champion, in numbers that can be added up over workers."""

from __future__ import annotations

import msgspec


class CanaryFigures(msgspec.Struct):
    """Counts since a canary began. Only the worker that counts changes them.

    `computed`: requests that the challenger has computed; `failed`: those on which it failed and the champion did not.
    `timed`: its calls for which the champion's usual time at the same batch size is known; `slower`: those of them that
    took longer than `canary.max_slowdown` allows, by `lost_s` seconds altogether. `compared`: requests that both have
    answered; `overlap`: the sum of their overlaps, each 0 to 1.
    """

    computed: int = 0
    failed: int = 0
    timed: int = 0
    slower: int = 0
    lost_s: float = 0.0
    compared: int = 0
    overlap: float = 0.0

    def __add__(self, other: CanaryFigures) -> CanaryFigures:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return CanaryFigures(*(mine + theirs for mine, theirs in pairs))
