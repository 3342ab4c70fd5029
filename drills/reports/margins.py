"""How far from its objectives a drill ended: what was promised, what was seen, what was left."""

from __future__ import annotations

from dataclasses import dataclass

from drills.evidence.checker import Measured
from drills.evidence.verdict import MIN_SAMPLES, Objectives


@dataclass(frozen=True, slots=True)
class Margin:
    """One objective as texts; `check` is passed, failed or unknown."""

    name: str
    seen: str
    objective: str
    margin: str
    check: str


def margins(measured: Measured, objectives: Objectives) -> list[Margin]:
    """The objectives of every drill."""
    after = measured.after
    p99 = after.p99_ms if after.count >= MIN_SAMPLES else None
    not_ok = sum(measured.not_ok.values()) / measured.answered if measured.answered else None
    allowed = None if objectives.duplicates_allowed else 0
    return [
        _time("recovery time (RTO)", measured.rto_ms, objectives.rto_ms),
        _time(f"p99 after the recovery (n = {after.count:,})", p99, objectives.p99_ms),
        _count("lost", measured.lost, 0),
        _count("doubled", measured.duplicated, allowed),
        _count("out of order", measured.out_of_order, 0),
        _share("answers that are not ok", not_ok, objectives.error_budget),
    ]


def _time(name: str, seen: float | None, limit: float) -> Margin:
    if seen is None:
        return Margin(name, "not known", f"at most {limit:,g} ms", "", "unknown")
    left = f"{abs(limit - seen):,.0f} ms, {abs(limit - seen) / limit:.0%}" if limit else f"{abs(limit - seen):,.0f} ms"
    said = f"{left} to spare" if seen <= limit else f"{left} too much"
    return Margin(name, f"{seen:,.1f} ms", f"at most {limit:,g} ms", said, "passed" if seen <= limit else "failed")


def _count(name: str, seen: int, limit: int | None) -> Margin:
    if limit is None:
        return Margin(name, f"{seen:,}", "allowed: delivery is at_least_once", "", "passed")
    return Margin(name, f"{seen:,}", "none", "" if seen <= limit else f"{seen:,} too many",
                  "passed" if seen <= limit else "failed")  # fmt: skip


def _share(name: str, seen: float | None, limit: float) -> Margin:
    objective = f"at most {limit:.2%}" if limit else "none"
    if seen is None:
        return Margin(name, "not known", objective, "", "unknown")
    said = f"{limit - seen:.2%} to spare" if limit and seen <= limit else ""
    return Margin(name, f"{seen:.2%}", objective, said, "passed" if seen <= limit else "failed")
