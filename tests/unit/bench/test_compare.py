"""The rounds of a comparison: which requests, in which order, and what happens if a contender fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.beside import rounds as compare
from bench.beside.contenders import PEERS, STANDFAST, Contender
from bench.beside.results import Run
from bench.beside.rounds import load_levels, measured_rounds
from bench.cores import CoreLayout
from bench.environment import Environment
from bench.requests import Request
from bench.timings import Timings
from consumers.service import service
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings

pytestmark = pytest.mark.usefixtures("empty_home")
PLAIN = PEERS[0]


def text(requests: object) -> list[str]:
    return [request.query for request in requests]  # type: ignore[attr-defined]


def test_no_request_is_in_two_loads_or_warm_ups() -> None:
    """A repeated request could be answered from a cache."""
    work = load_levels(service("search", Settings()), {1: 60, 64: 300}, long=False)
    asked = [query for load in work for query in (*text(load.warm.requests), *text(load.timed.requests))]
    assert len(asked) == len(set(asked))
    assert [(load.in_flight, load.batch, len(load.timed.requests)) for load in work] == [(1, 1, 60), (64, 32, 300)]


def test_a_mixed_load_goes_with_a_uniform_one() -> None:
    uniform, mixed = load_levels(service("search", Settings()), {64: 100}, long=True)
    assert (len(uniform.timed.long), len(mixed.timed.long)) == (0, 10)


class RunRecorder:
    """Replaces contenders and the raw limit, and records their runs in `done`. The contender `fails` does not start."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.done: list[str] = []
        self.pid = 1
        self.who = "raw"

    def run(self, requests: list[Request], _at_once: int) -> Timings:
        self.done.append(f"{self.who} {len(requests)}")
        return Timings(seconds=[0.01] * len(requests), elapsed=1.0)

    @contextmanager
    def raw(self, *_arguments: object) -> Iterator[RunRecorder]:
        yield self

    @contextmanager
    def running(self, contender: Contender, *_arguments: object) -> Iterator[tuple[RunRecorder, RunRecorder]]:
        if contender.name == self.fails:
            raise ClusterError(f"{contender.name} ended (1): no memory")
        self.who = contender.name
        yield self, self
        self.who = "raw"

    start_s = 1.0

    def model_pids(self) -> list[int]:
        return []

    def memory_mb(self) -> float:
        return 1.0


def measured(monkeypatch: pytest.MonkeyPatch, fails: str = "") -> tuple[RunRecorder, list[Run | str]]:
    recorder = RunRecorder(fails)
    monkeypatch.setattr(compare, "raw", recorder.raw)
    monkeypatch.setattr(compare, "running", recorder.running)
    environment = Environment(Settings(), Path("nowhere"), CoreLayout(None, None))
    work = load_levels(service("search", environment.settings), {1: 20}, long=False)
    monkeypatch.setattr(compare, "unpin", lambda *_: None)
    return recorder, list(measured_rounds(environment, "search", work, [STANDFAST, PLAIN], 2, lambda _: None))


def test_in_each_round_the_raw_limit_comes_right_before_each_contender_after_a_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder, runs = measured(monkeypatch)
    each = [f"{who} 20" for contender in ("standfast", "plain") for who in ("raw", "raw", contender, contender)]
    assert recorder.done == each * 2
    assert [(run.contender, run.round) for run in runs if isinstance(run, Run)] == [
        ("standfast", 1), ("plain", 1), ("standfast", 2), ("plain", 2),
    ]  # fmt: skip


def test_one_who_does_not_start_is_named_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    _, runs = measured(monkeypatch, fails="plain")
    assert [run for run in runs if isinstance(run, str)] == [
        "search, round 1, plain: plain ended (1): no memory",
        "search, round 2, plain: plain ended (1): no memory",
    ]
    assert [run.contender for run in runs if isinstance(run, Run)] == ["standfast", "standfast"]
