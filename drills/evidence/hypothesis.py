"""What a drill expects of the system: figures with tolerances, and what a history says of each. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from drills.evidence.probes import PROBES, HistoryView, Reading, Stretch
from drills.evidence.verdict import Finding

_BOUNDS = ("at_most", "at_least", "between", "equals")


class Expectation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One figure and what it may be; exactly one of `at_most`, `at_least`, `between` and `equals` is given.

    Args:
        probe: the figure, one of `drills.evidence.probes`.
        stretch: `in` in a file: of the requests answered before the first fault, of those under way from then until
            the last recovery, of those sent after it, or of all.
        from_s: only requests that were due so many seconds after the first fault, or later: a deadline for recovery.
        relative_to: the bounds are multiples of the same figure before the fault.
        min_samples: with fewer requests the figure says nothing; a default for each probe.
    """

    probe: str
    stretch: Stretch = field(default="whole", name="in")
    from_s: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    between: tuple[float, float] | None = None
    equals: float | None = None
    relative_to: Literal["before"] | None = None
    min_samples: int | None = None

    @property
    def wrongs(self) -> list[tuple[str, str]]:
        """What cannot be meant: the key and what is wrong with it."""
        if self.probe not in PROBES:
            return [("probe", "")]  # whoever reads the file names the nearest
        found: list[tuple[str, str]] = []
        given = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            found.append((given[1] if given else "probe", f"give one of {', '.join(_BOUNDS)}, not {len(given)}"))
        if self.between is not None and self.between[0] > self.between[1]:
            found.append(("between", f"{list(self.between)}: the first is the lower bound"))
        if self.from_s is not None and self.from_s < 0:
            found.append(("from_s", f"{self.from_s:g}: give seconds after the fault, 0 or more"))
        if self.min_samples is not None and self.min_samples < 1:
            found.append(("min_samples", f"{self.min_samples}: give 1 or more"))
        if PROBES[self.probe].whole:
            whole = f"{self.probe} says something of the whole history alone; leave this out"
            found += [(key, whole) for key in ("in", "from_s", "relative_to") if self._is_given(key)]
        return found

    @property
    def promise(self) -> str:
        """The same in words."""
        unit = " times that before the fault" if self.relative_to else ""
        return f"{self._named} is {self._wanted(None)}{unit}"

    def finding(self, seen: HistoryView) -> Finding:
        """What that history says: unknown with too few requests, never passed."""
        probe = PROBES[self.probe]
        reading = self._reading(seen, self.stretch, self.from_s)
        needed = self.min_samples or probe.samples
        if reading.value is None or reading.samples < needed:
            return Finding("unknown", f"{self._named}: {reading.samples} requests are too few ({needed} needed)")
        unit = 1.0
        if self.relative_to == "before":
            before = self._reading(seen, "before", None)
            if not before.value or before.samples < needed:
                return Finding(
                    "unknown", f"{self._named}: {before.samples} requests before are too few ({needed} needed)"
                )
            unit = before.value
        low, high = self._bounds(unit)
        text = f"{self._named} {_short(reading.value)} over {reading.samples} requests ({self._wanted(unit)})"
        return Finding("passed" if low <= reading.value <= high else "failed", text)

    def _reading(self, seen: HistoryView, stretch: Stretch, from_s: float | None) -> Reading:
        probe = PROBES[self.probe]
        return probe.read(seen, () if probe.whole else seen.requests(stretch, from_s))

    def _bounds(self, unit: float) -> tuple[float, float]:
        if self.between is not None:
            return self.between[0] * unit, self.between[1] * unit
        if self.equals is not None:
            return self.equals * unit, self.equals * unit
        least = -float("inf") if self.at_least is None else self.at_least * unit
        return least, float("inf") if self.at_most is None else self.at_most * unit

    @property
    def _named(self) -> str:
        late = f" from {self.from_s:g} s after the fault" if self.from_s is not None else ""
        return f"{self.probe}{'' if self.stretch == 'whole' else f' {self.stretch}'}{late}"

    def _wanted(self, unit: float | None) -> str:
        name = next(name for name in _BOUNDS if getattr(self, name) is not None)
        value = getattr(self, name)
        bound = f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"
        words = bound if name == "between" else f"{name.replace('_', ' ')} {bound}"
        return words if self.relative_to is None or unit is None else f"{words} times the {_short(unit)} before"

    def _is_given(self, key: str) -> bool:
        return {
            "in": self.stretch != "whole",
            "from_s": self.from_s is not None,
            "relative_to": self.relative_to is not None,
        }[key]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
