"""The outcome of a row: judged by its thresholds, or the reason why it was not measured."""

from __future__ import annotations

import msgspec

from bench.beside.reference import Reference
from bench.figures import Machine
from bench.rows.row import Figure, Measurement, Row, Threshold


class RowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it is reported. `reason`: what it missed or why it was not measured; empty if it was reached.

    `others`: cores that other processes used meanwhile. `detail`: everything that was measured.
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
    """The table, with the machine and settings it was measured on.

    `reference`: the machine's own speed before the first row and, unless it was a quick run, after the last.
    """

    machine: Machine
    reference: list[Reference]
    settings: dict[str, str]
    rows: list[RowOutcome]


def judged(row: Row, measurement: Measurement, peers: str, others: float, seconds: float) -> RowOutcome:
    """The row with its measurement; a figure that is missing counts as not reached."""
    aims = thresholds_for(row, peers)
    missed = [reason for aim in aims if (reason := _missed(aim, measurement))]
    reasons = [*missed, *measurement.trouble]
    return RowOutcome(
        name=row.name,
        what=row.what,
        measured=measurement.shown,
        to_reach=in_words(aims),
        reached=not reasons,
        reason="; ".join(reasons),
        figures=dict(measurement.figures),
        others=round(others, 2),
        seconds=round(seconds, 1),
        detail=measurement.detail,
    )


def failed(row: Row, why: str, peers: str, others: float, seconds: float) -> RowOutcome:
    """The outcome of a row that could not be measured."""
    return judged(row, Measurement("not measured", {}, trouble=(why,)), peers, others, seconds)


def thresholds_for(row: Row, peers: str) -> list[Threshold]:
    """Its thresholds, without those relative to a peer that is not measured."""
    return [aim for aim in row.aims if not aim.peer or aim.peer in peers.split(",") or peers == "all"]


def in_words(aims: list[Threshold]) -> str:
    """The thresholds in words."""
    return ", ".join(map(str, aims))


def _missed(aim: Threshold, measurement: Measurement) -> str:
    if aim.figure not in measurement.figures:
        return "" if measurement.trouble else f"{aim.figure} was not measured"
    return "" if aim.reached_by(measurement.figures[aim.figure]) else f"missed: {aim}"
