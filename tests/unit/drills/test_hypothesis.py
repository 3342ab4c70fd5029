"""What a hypothesis says of a history: passed, failed, or unknown where the history says too little."""

from __future__ import annotations

import pytest

from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.hypothesis import Expectation
from drills.evidence.probes import HistoryView

_STRUCK = 100.0


def history(before_ms: float = 10, during_ms: float = 50, after_ms: float = 12, *, after: int = 200) -> HistoryView:
    """200 requests before a fault at 100 s, one during it, and others after it, 10 ms apart."""
    requests = [request(n, 97 + n * 0.01, before_ms) for n in range(200)]
    requests.append(request(200, _STRUCK, during_ms))
    requests += [request(201 + n, 101 + n * 0.01, after_ms) for n in range(after)]
    faults = (Fault(_STRUCK, frozenset({0}), "kill"),)
    return HistoryView(History(tuple(requests), faults=faults, ended=120.0))


def request(number: int, due: float, ms: float, status: str = "ok") -> Request:
    answer = Sighting(due + ms / 1000, 0, number, status)
    return Request(f"r{number}", 0, due, due, "acked", number, (answer,))


def finding(seen: HistoryView, **expected: object) -> tuple[str, str]:
    found = Expectation(**expected).finding(seen)  # type: ignore[arg-type]
    return found.check, found.text


@pytest.mark.parametrize(
    ("expected", "check", "text"),
    [
        ({"probe": "p99_ms", "stretch": "after", "at_most": 20}, "passed", "p99_ms after 12 over 200 requests"),
        ({"probe": "p99_ms", "stretch": "after", "at_most": 11}, "failed", "(at most 11)"),
        ({"probe": "p99_ms", "stretch": "during", "at_most": 99}, "unknown", "1 requests are too few (100 needed)"),
        ({"probe": "max_ms", "stretch": "during", "at_most": 99}, "passed", "max_ms during 50 over 1 requests"),
        ({"probe": "max_ms", "stretch": "during", "at_most": 6, "relative_to": "before"}, "passed", "6 times the 10"),
        ({"probe": "max_ms", "stretch": "during", "at_most": 4, "relative_to": "before"}, "failed", "4 times the 10"),
        ({"probe": "p50_ms", "from_s": 1, "between": (11, 13)}, "passed", "p50_ms from 1 s after the fault 12"),
        ({"probe": "p50_ms", "from_s": 5, "at_most": 1000}, "unknown", "0 requests are too few"),
        ({"probe": "answered_share", "equals": 1}, "passed", "answered_share 1 over 401 requests"),
        ({"probe": "throughput", "stretch": "after", "at_least": 90}, "passed", "over 200 requests (at least 90)"),
        ({"probe": "throughput", "stretch": "after", "at_least": 110}, "failed", ""),
        ({"probe": "lost", "equals": 0}, "passed", "lost 0 over 401 requests"),
        ({"probe": "rto_ms", "at_most": 60}, "passed", "rto_ms 50"),
        ({"probe": "rto_ms", "at_most": 40}, "failed", "rto_ms 50"),
        ({"probe": "p99_ms", "at_most": 99, "min_samples": 1000}, "unknown", "401 requests are too few (1000 needed)"),
    ],
)
def test_each_tolerance(expected: dict[str, object], check: str, text: str) -> None:
    seen = finding(history(), **expected)
    assert seen[0] == check
    assert text in seen[1]


def test_a_recovery_that_never_came_is_unknown_and_not_passed() -> None:
    seen = HistoryView(History((request(0, 1, 5),), faults=(Fault(2.0, frozenset({0})),), ended=3.0))
    assert finding(seen, probe="rto_ms", at_most=1000)[0] == "unknown"


def test_missing_answers_are_seen_in_the_share() -> None:
    unanswered = tuple(Request(f"u{n}", 0, 1.0, 1.0, "acked", n) for n in range(50))
    seen = HistoryView(History((*history().history.requests, *unanswered), ended=120.0))
    assert finding(seen, probe="answered_share", at_least=0.95)[0] == "failed"


def test_errors_are_a_share_of_the_answers() -> None:
    answers = tuple(request(n, 1.0, 5, "ok" if n % 4 else "overloaded") for n in range(100))
    seen = HistoryView(History(answers, ended=10.0))
    assert finding(seen, probe="error_share", at_most=0.25)[0] == "passed"
    assert finding(seen, probe="error_share", at_most=0.24)[0] == "failed"


def test_with_nothing_before_the_fault_nothing_is_relative_to_it() -> None:
    seen = HistoryView(History((request(0, 3.0, 5),), faults=(Fault(2.0, frozenset({0})),), ended=9.0))
    check, text = finding(seen, probe="max_ms", at_most=2, relative_to="before")
    assert (check, "0 requests before are too few" in text) == ("unknown", True)
