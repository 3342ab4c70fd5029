"""What became of a row: judged against its aims, or not measured and why."""

from __future__ import annotations

import msgspec

from bench.figures import Machine
from bench.rows.row import Figure, Measurement, Row, Threshold


class RowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it is reported. `reason`: what it missed or why it was not measured; empty if it was reached.

    `others`: cores that processes of others used meanwhile. `detail`: everything that was measured.
    """

    name: str
    what: str
    measured: str
    to_reach: str
    reached: bool
    reason: str
    figures: dict[str, Figure]
    others: float
    seconds: float
    detail: object = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The table, and how it came about."""

    machine: Machine
    settings: dict[str, str]
    rows: list[RowOutcome]


def judged(row: Row, found: Measurement, peers: str, others: float, seconds: float) -> RowOutcome:
    """The row with what was found; a figure that is missing has not reached its aim."""
    aims = asked_for(row, peers)
    missed = [reason for aim in aims if (reason := _missed(aim, found))]
    reasons = [*missed, *found.trouble]
    return RowOutcome(
        name=row.name,
        what=row.what,
        measured=found.shown,
        to_reach=told(aims),
        reached=not reasons,
        reason="; ".join(reasons),
        figures=dict(found.figures),
        others=round(others, 2),
        seconds=round(seconds, 1),
        detail=found.detail,
    )


def failed(row: Row, why: str, peers: str, others: float, seconds: float) -> RowOutcome:
    """The row, which could not be measured."""
    return judged(row, Measurement("not measured", {}, trouble=(why,)), peers, others, seconds)


def asked_for(row: Row, peers: str) -> list[Threshold]:
    """Its aims, without those that compare with a peer who is not measured."""
    return [aim for aim in row.aims if not aim.peer or aim.peer in peers.split(",") or peers == "all"]


def told(aims: list[Threshold]) -> str:
    """What is to be reached, in words."""
    return ", ".join(map(str, aims))


def _missed(aim: Threshold, found: Measurement) -> str:
    if aim.figure not in found.figures:
        return "" if found.trouble else f"{aim.figure} was not measured"
    return "" if aim.reached_by(found.figures[aim.figure]) else f"missed: {aim}"
