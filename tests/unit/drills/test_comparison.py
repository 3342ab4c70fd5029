"""Two runs of a drill: what counts as a regression, what is noise, and what cannot be told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.reports import made_up
from drills.evidence.history import Fault, History, Request, Sighting
from drills.evidence.ranks import rank_test
from drills.evidence.tails import tail_ratio
from drills.reports.comparison import CODES, LEAST_ANSWERS, RunComparison, comparison

STRUCK = 10.0


def run(seed: int = 1, slower: float = 1.0, outage: float = 0.4, count: int = 600) -> History:
    """20 s of requests answered in about 20 ms, `slower` times that; none for `outage` seconds after the fault."""
    dice = random.Random(seed)
    requests = []
    for number in range(count):
        at = number * 20 / count
        seen = at + slower * 0.02 * dice.lognormvariate(0, 0.3)
        seen = max(seen, STRUCK + outage) if STRUCK <= at < STRUCK + outage else seen
        requests.append(Request(f"d-{number}", 0, at, at, "acked", number, (Sighting(seen, 0, number, "ok"),)))
    return History(tuple(requests), (), (Fault(STRUCK, frozenset({0}), "kill"),), ended=25.0)


def worse(found: RunComparison) -> list[str]:
    return [figure.figure for figure in found.figures if figure.outcome == "worse"]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_another_run_of_the_same_system_is_no_worse(one: int, two: int) -> None:
    found = comparison(run(one), run(two))
    assert (found.outcome, worse(found)) == ("no worse", [])


def test_a_run_is_no_worse_than_itself() -> None:
    assert CODES[comparison(run(), run()).outcome] == 0


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_slower_answers_are_worse_and_quicker_ones_are_not(seed: int) -> None:
    found = [name for name in worse(comparison(run(1), run(seed, slower=1.5))) if name.startswith("latency")]
    assert found == ["latency_before_ms", "latency_after_ms"]
    assert comparison(run(seed, slower=1.5), run(1)).outcome == "no worse"


def test_a_shift_within_the_noise_is_no_regression_however_sure_it_is() -> None:
    found = comparison(run(1, count=6000), run(2, slower=1.07, count=6000))
    assert found.outcome == "no worse"
    assert min(figure.p for figure in found.figures if figure.p is not None) < 0.01


def test_a_single_slow_answer_is_no_regression() -> None:
    first = run()
    request = first.requests[3]
    late = replace(request, answers=(replace(request.answers[0], at=request.due + 3),))
    assert (
        comparison(first, replace(first, requests=(*first.requests[:3], late, *first.requests[4:]))).outcome
        == "no worse"
    )


def test_a_longer_outage_is_worse_beyond_the_noise() -> None:
    assert comparison(run(outage=0.4), run(outage=0.55)).outcome == "no worse"
    assert worse(comparison(run(outage=0.4), run(outage=0.9))) == ["rto_ms"]
    assert comparison(run(outage=0.4), run(outage=0.55), rto_noise=0.1).outcome == "worse"


def test_a_run_that_does_not_recover_is_worse_than_one_that_does() -> None:
    first = run()
    broken = replace(first, requests=tuple(replace(r, answers=()) if r.due >= STRUCK else r for r in first.requests))
    assert set(worse(comparison(first, broken))) == {"lost", "rto_ms"}
    assert CODES[comparison(first, broken).outcome] == 1
    assert CODES[comparison(broken, first).outcome] == 2, "nothing is known of what it is compared with"


@pytest.mark.parametrize("count", [0, 1, 2 * LEAST_ANSWERS - 2])
def test_too_few_answers_tell_nothing(count: int) -> None:
    found = comparison(run(count=count), run(count=count))
    assert CODES[found.outcome] == 2
    assert worse(found) == []


def test_a_shift_that_few_answers_show_is_unknown() -> None:
    outcomes = {comparison(run(seed, count=60), run(seed + 1, slower=1.2, count=60)).outcome for seed in range(20)}
    assert "unknown" in outcomes


def test_another_fault_or_none_is_no_comparison() -> None:
    first = run()
    other = replace(first, faults=(replace(first.faults[0], name="hang"),))
    found = comparison(first, other)
    assert found.outcome == "unknown"
    assert found.figures[0].reason == "not the same drill: kill and hang"
    assert comparison(first, replace(first, faults=())).outcome == "unknown"


def test_a_lost_or_unexpected_answer_is_worse_whatever_the_latency() -> None:
    first = run()
    lost = replace(first, requests=(replace(first.requests[0], answers=()), *first.requests[1:]))
    assert worse(comparison(first, lost)) == ["lost"]
    assert worse(comparison(first, replace(first, unexpected=("d-9999",)))) == ["unexpected"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_the_ranks_agree_with_counting_all_pairs(first: list[int], second: list[int]) -> None:
    pairs = [(one > two) + (one == two) / 2 for one in second for two in first]
    test = rank_test(first, second)
    assert test.larger == pytest.approx(sum(pairs) / len(pairs))
    assert 0 <= test.p <= 1
    assert test.larger <= test.at_most + 1e-9
    assert rank_test(second, first).p == pytest.approx(test.p)


def test_the_p_of_a_known_case() -> None:
    """As scipy.stats.mannwhitneyu(method="asymptotic") says."""
    first = [19, 22, 16, 29, 24]
    second = [20, 11, 17, 12]
    assert rank_test(first, second).p == pytest.approx(0.11134688653, abs=1e-6)


def test_a_slow_end_that_grows_by_a_fifth_is_found_though_no_median_moves() -> None:
    pairs = [(made_up.history(8000, seed), made_up.history(8000, seed + 500, slow_end=1.2)) for seed in range(12)]
    found = [worse(comparison(first, second)) for first, second in pairs]
    assert sum(bool({"p99_before_ms", "p99_after_ms"} & set(names)) for names in found) >= 11
    assert not any(name.startswith("latency") for names in found for name in names)


def test_of_pairs_without_a_difference_hardly_any_is_called_worse() -> None:
    pairs = [(made_up.history(8000, seed), made_up.history(8000, seed + 500)) for seed in range(12)]
    assert sum(comparison(first, second).outcome != "no worse" for first, second in pairs) <= 1


def test_few_answers_prove_no_rise_of_a_p99_and_the_reason_says_what_would() -> None:
    found = comparison(run(1), run(2, slower=1.05))
    tails = [figure for figure in found.figures if figure.figure.startswith("p99")]
    assert [figure.outcome for figure in tails] == ["no worse", "no worse"]
    assert all("it takes a rise by" in figure.reason for figure in tails)


def test_slow_answers_that_come_together_count_as_fewer() -> None:
    apart = [1.0 + (number % 50 == 0) for number in range(5000)]
    together = [2.0 if number % 2500 < 50 else 1.0 for number in range(5000)]
    noisy = random.Random(1)
    apart, together = ([value * noisy.lognormvariate(0, 0.1) for value in values] for values in (apart, together))
    widths = [ratio.at_most - ratio.at_least for ratio in (tail_ratio(apart, apart), tail_ratio(together, together))]
    assert widths[1] > 2 * widths[0]
