"""When a challenger is worse than the champion: a rule on figures, without clocks or processes.

A failure counts as one of `min_answers` requests as long as there were fewer: so few failures are forgiven that the
rule can tell early what would be too many in the end.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from consumers.channel.canary_figures import CanaryFigures
from standfast.core.settings import CanarySettings

_CALLS, _LOST_S = 5, 1.0  # a challenger that has cost so much time is not given `min_answers` calls to prove it


class Worse(Struct, frozen=True):
    """Why a challenger is worse: a word for the metric, and in words."""

    kind: Literal["errors", "slow", "overlap", "deaths"]
    reason: str


def worse(seen: CanaryFigures, settings: CanarySettings) -> Worse | None:
    """Why the challenger is to be ended; None if it may go on."""
    asked = seen.computed + seen.failed
    if seen.failed > settings.max_errors * max(asked, settings.min_answers):
        return Worse("errors", f"it failed on {seen.failed} of {asked} requests that the champion could answer")
    enough = seen.timed >= settings.min_answers or (seen.timed >= _CALLS and seen.lost_s > _LOST_S)
    if enough and seen.slower * 2 > seen.timed:
        factor = f"{settings.max_slowdown:g} times as long as the champion's"
        return Worse("slow", f"{seen.slower} of its {seen.timed} calls took more than {factor} of the same size")
    if seen.compared >= settings.min_answers and (mean := seen.overlap / seen.compared) < settings.min_overlap:
        return Worse("overlap", f"its answers to {seen.compared} requests share {mean:.2f} with the champion's")
    return None


def words(seen: CanaryFigures) -> str:
    """The figures of a challenger as a line of the status."""
    said = f"{seen.computed} requests computed, {seen.failed} failed, {seen.slower} of {seen.timed} timed calls slower"
    return said + (f", overlap {seen.overlap / seen.compared:.2f} of {seen.compared}" if seen.compared else "")
