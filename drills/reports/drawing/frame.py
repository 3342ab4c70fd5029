"""What a drawing over time has around it: its title, its time axis and the stretches that are shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Shade:
    """A stretch of time that is shaded and labelled, such as that of a fault."""

    start: float
    end: float
    label: str
    tone: Literal["fault", "quiet"] = "fault"


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing's title and time.

    Args:
        title: what it shows; also its name for whoever cannot see it.
        start: seconds where the time axis begins; `end` where it ends.
        zero: the label at second 0, such as "fault" or "now".
        shades: what is shaded.
        note: a sentence below the drawing, such as how many points were left out.
    """

    title: str
    start: float
    end: float
    zero: str = "0 s"
    shades: Sequence[Shade] = ()
    note: str = ""
