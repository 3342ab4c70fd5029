"""The partitions of a service in the last minute, coloured by the process that owned them, as a figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from console.snapshot import Held, Snapshot
from drills.reports.drawing.frame import Frame
from drills.reports.drawing.lanes import Lane, Stretch, lanes
from drills.reports.report import number

_SHOWN_S = 60.0
MOST_LANES = 24  # a figure of a thousand rows shows nothing, and is sent once a second


def lanes_now(snapshot: Snapshot, service: str) -> Markup:
    """The figure; empty if nothing is known. It begins a minute before the newest record of a host."""
    held = [(number, owners) for (topic, number), owners in snapshot.held if _is_of(topic, service)]
    if not held or not snapshot.hosts:
        return Markup("")
    now = max(host.status.at for host in snapshot.hosts)
    newest_first = sorted(held, key=lambda pair: (-_last_change(pair[1]) // 60_000, pair[0]))
    drawn = sorted(newest_first[:MOST_LANES])
    pauses = _Pauses(snapshot, service, now)
    left_out = f"{MOST_LANES} of {len(held)} partitions are drawn." if len(held) > MOST_LANES else ""
    owners = sorted({one.owner for _, several in held for one in several})
    return lanes(
        [Lane(str(number), [*_stretches(several, now), *pauses.of(number)]) for number, several in drawn],
        Frame(f"Partitions of {service}, the last minute", -_SHOWN_S, 0.0, "now", note=left_out),
        owners=owners,
        row_height=22 if len(drawn) <= 12 else 14,
        with_table=False,
    )


class _Pauses:
    """When a partition of the service had no owner, as the takeovers tell it, to the millisecond."""

    def __init__(self, snapshot: Snapshot, service: str, now: int) -> None:
        self._now = now
        self._takeovers = [one for _, one in snapshot.takeovers if one.service == service]

    def of(self, partition: int) -> Iterator[Stretch]:
        """The pauses of one partition, each with its length."""
        for one in self._takeovers:
            owned = (numbers for topic, numbers in one.partitions.items() if _is_of(topic, one.service))
            end = (one.at - self._now) / 1000
            if any(partition in numbers for numbers in owned) and end > -_SHOWN_S:
                start = max(-_SHOWN_S, end - one.after_ms / 1000)
                yield Stretch(start, end, kind="pause", text=f"{number(one.after_ms)} ms")


def _stretches(owners: Sequence[Held], now: int) -> Iterator[Stretch]:
    """Who owned the partition, and the gaps between that no takeover explains."""
    for one in owners:
        end = 0.0 if one.until is None else (one.until - now) / 1000
        if end > -_SHOWN_S:
            yield Stretch(max(-_SHOWN_S, (one.since - now) / 1000), min(0.0, end), one.owner)
    for before, after in itertools.pairwise(owners):
        if before.until is not None and after.since - before.until > 1000:
            yield Stretch(
                max(-_SHOWN_S, (before.until - now) / 1000), (after.since - now) / 1000, kind="pause", text="nobody"
            )


def _last_change(owners: Sequence[Held]) -> int:
    return max(max(one.since, one.until or 0) for one in owners)


def _is_of(topic: str, service: str) -> bool:
    """Whether it is the request topic of the service, whatever its prefix."""
    return topic == f"{service}.requests" or topic.endswith(f".{service}.requests")
