"""The drawings of one drill: phases, latency, who answered which partition, answers a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from markupsafe import Markup

from drills.evidence.latency import rank
from drills.evidence.ordinary import WINDOWS
from drills.evidence.recovery import Recoveries
from drills.evidence.terms import Terms
from drills.reports.again import Again
from drills.reports.drawing import (
    BarGroup,
    Frame,
    Lane,
    LimitLine,
    PhaseStop,
    Series,
    Shade,
    Stretch,
    Table,
    bars,
    lanes,
    plot,
    thinned,
    timeline,
)
from drills.reports.embedding import DRAWN
from drills.reports.pictured import Pictured
from schemas.records import DrillEvent, Latency

# Each quantile with how many answers it needs: with fewer it is simply one of the slowest.
_QUANTILES = (("p50", 0.5, 20), ("p90", 0.9, 50), ("p99", 0.99, 100), ("p99.9", 0.999, 1000), ("max", 1.0, 1))
_TONES: dict[str, Literal["plain", "good", "warn", "bad"]] = {
    "injected": "bad", "aborted": "bad", "rejected": "warn", "recovered": "good"
}  # fmt: skip
_MOST_LANES = 64


def phases(events: Sequence[DrillEvent]) -> Markup:
    """The timeline of a drill."""
    return timeline(
        [
            PhaseStop(event.at / 1000, event.phase.replace("_", " "), _TONES.get(event.phase, "plain"), _told(event))
            for event in events
        ]
    )


def latency_of_all(seen: Again, seen_by: Pictured, terms: Terms | None) -> Markup:
    """Every request by when it was due and how long it waited, with its objective and the margin to it."""
    requests = seen.history.requests
    answered = [each for each in requests if each.latency_ms is not None]
    chosen = thinned([each.due for each in answered], [each.latency_ms or 0.0 for each in answered], DRAWN)
    dots = [(answered[index].due - seen.struck, answered[index].latency_ms) for index in chosen]
    most = max((ms for _, ms in dots if ms is not None), default=1.0)
    lost = [(each.due - seen.struck, most) for each in requests if not each.answers]
    all_answered = seen.measured.answered
    left_out = f"{len(dots):,} of {all_answered:,} drawn; of each stretch of time the slowest is" if (
        len(dots) < all_answered) else f"All {all_answered:,} answers are drawn"  # fmt: skip
    return plot(
        [Series("answered", dots, "dots"), Series(f"{len(lost):,} never answered, at the top", lost, "crosses", "bad")],
        _frame("Latency of every request", seen, seen_by, f"{left_out}. Latency counts from when a request was due."),
        unit="ms",
        limits=[_p99_limit(seen, terms)] if terms else (),
        logarithmic=True,
        table=_quantile_table(seen),
    )


def quantiles(seen: Again) -> Markup:
    """Exact quantiles before, during and after, hatched where there are too few answers for them."""
    groups = []
    for window in WINDOWS:
        times = seen.latencies_ms(window)
        if times:
            shown = [(name, rank(times, share)) for name, share, _ in _QUANTILES]
            unsure = frozenset(name for name, _, needed in _QUANTILES if len(times) < needed)
            groups.append(BarGroup(window, f"n = {len(times):,}", shown, unsure))
    return bars(groups, title="Latency before, during and after the fault", unit="ms")


def latency_of_event(event: DrillEvent) -> Markup:
    """The same from the final event, for a drill whose history is not here."""
    windows = (("before", event.latency_before), ("during", event.latency_during), ("after", event.latency_after))
    groups = [_group(name, latency) for name, latency in windows if latency and latency.max_ms is not None]
    return bars(groups, title="Latency before, during and after the fault", unit="ms")


def partitions(seen: Again, seen_by: Pictured) -> Markup:
    """Who answered each request partition, and where nobody did."""
    rows: dict[int, list[Stretch]] = {}
    for each in seen_by.owned:
        start, end = each.start - seen.struck, each.end - seen.struck
        text = None if each.worker else f"{(end - start) * 1000:,.0f} ms"
        stretch = Stretch(start, end, each.worker, "serves" if each.worker else "pause", text)
        rows.setdefault(each.partition, []).append(stretch)
    shown = [Lane(f"partition {number}", stretches) for number, stretches in rows.items()][:_MOST_LANES]
    note = f"A stretch is the answers of one worker; hatched: none for more than {seen_by.least_pause_ms:,.0f} ms."
    if len(rows) > len(shown):
        note += f" The first {len(shown)} of {len(rows)} partitions are drawn."
    return lanes(shown, _frame("Who answered each partition", seen, seen_by, note))


def throughput(seen: Again, seen_by: Pictured) -> Markup:
    """Requests sent, answers and errors a second."""
    rates = seen_by.rates

    def a_second(counts: Sequence[int]) -> list[tuple[float, float | None]]:
        start = rates.start - seen.struck
        points: list[tuple[float, float | None]] = [
            (start + number * rates.width, count / rates.width) for number, count in enumerate(counts)
        ]
        return [*points, (start + len(counts) * rates.width, points[-1][1])]

    series = [
        Series("sent", a_second(rates.sent), "steps", "third"),
        Series("answered", a_second(rates.answered), "steps"),
        Series("answers that are not ok", a_second(rates.not_ok), "steps", "bad"),
    ]
    rows = [
        (f"{rates.start - seen.struck + number * rates.width:+.2f}", *map(str, counts))
        for number, counts in enumerate(zip(rates.sent, rates.answered, rates.not_ok, strict=True))
    ]
    return plot(
        series,
        _frame("Sent and answered", seen, seen_by, f"Counted in stretches of {rates.width:g} s."),
        unit="/s",
        height=190,
        table=Table(("from s", "sent", "answered", "not ok"), rows, frozenset(range(4))),
    )


def _frame(title: str, seen: Again, seen_by: Pictured, note: str) -> Frame:
    recoveries = Recoveries(seen.history)
    end = max(seen_by.last_due, *(each.end for each in seen_by.owned)) if seen_by.owned else seen_by.last_due
    last_sent = max((each.invoked for each in seen.history.requests), default=-math.inf)
    shades = []
    for fault in seen.history.faults:
        at = recoveries.recovered_at(fault)
        # A kill is over with the recovery; that nothing is left of it is only looked at when the load has ended.
        lifted_at = fault.ended if fault.ended is not None and fault.ended < last_sent else None
        over = end if at is None else max(at, lifted_at or at)
        after = "not recovered" if at is None else f"all answering again after {(at - fault.at) * 1000:,.0f} ms"
        lifted = "" if lifted_at is None else f", gone after {(lifted_at - fault.at) * 1000:,.0f} ms"
        label = f"{fault.name or 'fault'}: {after}{lifted}"
        shades.append(Shade(fault.at - seen.struck, min(over, end) - seen.struck, label))
    return Frame(title, seen_by.first_due - seen.struck, end - seen.struck, "fault" if shades else "0 s", shades, note)


def _p99_limit(seen: Again, terms: Terms) -> LimitLine:
    limit, p99 = terms.objectives.p99_ms, seen.measured.after.p99_ms
    margin = "" if p99 is None else f", {'kept' if p99 <= limit else 'missed'} by {abs(limit - p99):,.0f} ms"
    return LimitLine(limit, f"p99 objective {limit:,g} ms{margin} after the recovery")


def _quantile_table(seen: Again) -> Table:
    rows = []
    for window in WINDOWS:
        times = seen.latencies_ms(window)
        for name, share, needed in _QUANTILES if times else ():
            few = "too few answers for it" if len(times) < needed else ""
            rows.append((window, f"{len(times):,}", name, f"{rank(times, share):,.3f}", few))
    return Table(("when", "n", "quantile", "ms", ""), rows, frozenset({1, 3}))


def _group(name: str, latency: Latency) -> BarGroup:
    shown = (("p50", latency.p50_ms), ("p99", latency.p99_ms), ("max", latency.max_ms))
    unsure = frozenset({"p99"}) if latency.count < 100 else frozenset[str]()
    return BarGroup(name, f"n = {latency.count:,}", [(label, ms) for label, ms in shown if ms is not None], unsure)


def _told(event: DrillEvent) -> str:
    said = [event.reason or "", *(event.findings or ())] if event.phase != "completed" else [event.verdict or ""]
    return "; ".join(filter(None, said))
