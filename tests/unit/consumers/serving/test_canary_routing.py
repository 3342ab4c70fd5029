"""Champion and challenger in one worker: who answers what, and that no caller ever sees a challenger fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.channel.messages import CanaryOrder
from consumers.requests.admission import Admitted
from consumers.serving.breaker import Breaker, Outcome
from consumers.serving.cache import Cache
from consumers.serving.canary_routing import CanaryRouting, Challenged
from consumers.serving.challenger import Challenger
from consumers.serving.side_by_side import SideBySide, TimedModel, overlap
from models.base import SearchQuery
from models.canary import Versions
from schemas.codec import Encoding
from schemas.records import Item
from tests.support.origins import origin

Fails = Callable[[Sequence[SearchQuery]], None]


class Shelf:
    """Answers with the query, titled with the label; remembers the queries of each call; `fails` may raise."""

    ignores_user = True

    def __init__(self, label: str) -> None:
        self.label = label
        self.calls: list[list[str]] = []
        self.fails: Fails = lambda _queries: None
        self.score = 1.0

    def predict(self, queries: Sequence[SearchQuery]) -> list[list[Item]]:
        self.calls.append([query.query for query in queries])
        self.fails(queries)
        return [[Item(query.query, self.score, self.label)] for query in queries]

    def warm_up(self) -> None:
        return


class Stage:
    """The models and everything that a worker has around them."""

    def __init__(self, share: float = 0.5, *, shadow: bool = False) -> None:
        self.now = 1000.0
        self.marks: list[bool] = []
        self.champion, self.challenger = Shelf("search@1"), Shelf("search@3")
        self.seen = SideBySide("search", "search@1", "search@3", 2.0)
        breaker = Breaker(TimedModel(self.champion, self.seen.champion_took), "search", lambda _: None)  # type: ignore[arg-type]
        timed = TimedModel(self.challenger, self.seen.challenger_took)
        theirs = Challenger(timed, "search", self.seen, self.marks.append, lambda: self.now)
        caches = [Cache(ask, 100, "search.requests", ignores_user=True) for ask in (breaker.ask, theirs.ask)]
        self.routing = CanaryRouting(caches[0].ask, caches[1].ask, "search@3", Versions(1, 3), self.seen)
        self.routing.follow(CanaryOrder(1, 3, share, shadow, since=7))

    def ask(self, *users: str, text: str = "") -> list[Outcome | Challenged]:
        """The outcomes for a request of each user; the query is the user too, if it is not given."""
        return self.routing.ask([request(user, text or user) for user in users])


def request(user: str | None, query: str = "heart", key: bytes | None = None, request_id: str = "r1") -> Admitted:
    record = origin(key=key)
    return Admitted(record, Encoding.JSON, request_id, SearchQuery(query, 1, user), False, user)


def label(outcome: Outcome | Challenged) -> str:
    """The label of the model that has answered; that of the items must be the same."""
    if isinstance(outcome, Challenged):
        assert {item.title for item in outcome.items} == {outcome.model}
        return outcome.model
    assert isinstance(outcome, list), outcome
    return outcome[0].title


USERS = [f"u{number}" for number in range(40)]


def test_every_request_has_one_answer_in_its_place_and_each_version_its_share() -> None:
    stage = Stage(0.5)
    outcomes = stage.ask(*USERS)
    assert [(outcome.items if isinstance(outcome, Challenged) else outcome)[0].item_id for outcome in outcomes] == USERS  # type: ignore[index]
    assert {label(outcome) for outcome in outcomes} == {"search@1", "search@3"}
    (theirs,), (ours,) = stage.challenger.calls, stage.champion.calls
    assert sorted(theirs + ours) == sorted(USERS), "each is computed once"


@given(st.lists(st.sampled_from(USERS), max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_the_canary_stays_in_it_while_it_grows(users: list[str], one: float, other: float) -> None:
    small, large = (Stage(share) for share in sorted((one, other)))
    before = {user for user in users if small.routing.takes(request(user))}
    assert before <= {user for user in users if large.routing.takes(request(user))}


def test_it_goes_by_the_user_then_by_the_key_then_by_the_id() -> None:
    stage = Stage(0.5)
    takes = stage.routing.takes
    for number in range(50):
        name = f"n{number}"
        by_user = takes(request(name, key=b"other", request_id="other"))
        assert by_user == takes(request(None, key=name.encode(), request_id="another"))
        assert by_user == takes(request("", key=None, request_id=name))


def test_nobody_is_given_to_a_challenger_before_the_supervisor_says_so() -> None:
    stage = Stage(0.0)
    assert {label(outcome) for outcome in stage.ask(*USERS)} == {"search@1"}
    assert stage.challenger.calls == []


@pytest.mark.parametrize(
    ("order", "goes_on"),
    [
        (CanaryOrder(1), False),
        (CanaryOrder(1, 4, 0.5, since=8), False),
        (CanaryOrder(2, 3, 0.5, since=8), False),
        (CanaryOrder(3), True),
    ],
    ids=["it is over", "another challenger", "another champion", "it is promoted"],
)
def test_an_order_that_is_not_about_it_ends_its_part_unless_it_is_to_serve(order: CanaryOrder, goes_on: bool) -> None:
    stage = Stage(0.5)
    stage.routing.follow(order)
    assert ("search@3" in {label(outcome) for outcome in stage.ask(*USERS)}) == goes_on


def raises(_queries: Sequence[SearchQuery]) -> None:
    raise RuntimeError("device-side assert triggered")


def runs_out(_queries: Sequence[SearchQuery]) -> None:
    raise MemoryError


@pytest.mark.parametrize("fails", [raises, runs_out, None], ids=["raises", "out of memory", "NaN"])
def test_whatever_the_challenger_does_the_champion_answers(fails: Fails | None) -> None:
    stage = Stage(0.5)
    stage.challenger.fails = fails or stage.challenger.fails
    stage.challenger.score = math.nan if fails is None else 1.0
    outcomes = stage.ask(*USERS)
    assert [label(outcome) for outcome in outcomes] == ["search@1"] * len(USERS)
    assert stage.seen.figures.failed == 1
    assert stage.marks == [True, False], "a death meanwhile is the challenger's"


def test_one_that_fails_on_everything_is_asked_once_a_second() -> None:
    stage = Stage(0.5)
    stage.challenger.fails = raises
    stage.ask(*USERS)
    calls = len(stage.challenger.calls)
    assert calls == 2, "the batch, and its first request alone"
    for number in range(10):
        stage.ask(*USERS, text=f"text {number}")
    assert len(stage.challenger.calls) == calls
    stage.now += 1.1
    stage.challenger.fails = lambda _queries: None
    assert "search@3" in {label(outcome) for outcome in stage.ask(*USERS)}


def test_one_bad_request_takes_no_other_from_the_challenger_if_it_comes_alone() -> None:
    stage = Stage(0.5)
    mine = [user for user in USERS if stage.routing.takes(request(user))][:3]

    def fails(queries: Sequence[SearchQuery]) -> None:
        if any(query.query == mine[2] for query in queries):
            raise ValueError("this request cannot be computed")

    stage.challenger.fails = fails
    assert [label(outcome) for outcome in stage.ask(*mine)] == ["search@3", "search@3", "search@1"]
    assert (stage.seen.figures.computed, stage.seen.figures.failed) == (2, 1)


def test_what_both_fail_on_is_no_fault_of_the_challengers() -> None:
    stage = Stage(0.5)
    stage.champion.fails = stage.challenger.fails = raises
    assert not [outcome for outcome in stage.ask(*USERS) if isinstance(outcome, list | Challenged)]
    assert stage.seen.figures.failed == 0


def test_caches_do_not_mix_versions() -> None:
    """A search of one text has the same key in a cache for all users, whichever version they get."""
    stage = Stage(0.5)
    for _ in range(3):
        outcomes = stage.ask(*USERS, text="lunch bag")
        for user, outcome in zip(USERS, outcomes, strict=True):
            assert label(outcome) == ("search@3" if stage.routing.takes(request(user)) else "search@1")
    assert stage.challenger.calls == stage.champion.calls == [["lunch bag"]]


def test_now_and_then_the_champions_time_is_taken_for_as_many_requests_as_the_challengers() -> None:
    stage = Stage(0.1)
    users = [f"u{number}" for number in range(200)]
    for number in range(16):
        stage.ask(*users, text="")
        users = [f"{user}.{number}" for user in USERS]
    sizes = {len(call) for call in stage.challenger.calls}
    assert {len(call) for call in stage.champion.calls} & sizes


# the shadow -----------------------------------------------------------------------------------------------------------


def test_in_the_shadow_all_answers_are_the_champions_and_are_compared_when_there_is_nothing_else_to_do() -> None:
    stage = Stage(0.0, shadow=True)
    assert {label(outcome) for outcome in stage.ask("u1", "u2")} == {"search@1"}
    assert stage.challenger.calls == [], "not before the answers are on their way"
    assert stage.routing.between()
    assert stage.challenger.calls == [], "and not after a look at Kafka that brought something"
    assert stage.routing.between()
    assert not stage.routing.between()
    assert stage.challenger.calls == [["u1"], ["u2"]]
    assert (stage.seen.figures.compared, stage.seen.figures.overlap) == (2, 2.0)


def test_under_load_the_shadow_computes_nothing_and_forgets_what_is_too_much() -> None:
    stage = Stage(0.0, shadow=True)
    for number in range(50):
        stage.ask(*(f"{number}-{user}" for user in USERS))
        stage.routing.between()
    assert stage.challenger.calls == []
    computed = 0
    while stage.routing.between():
        computed += 1
    assert computed < 100, "what was too much is not made up for"


def test_the_shadow_ends_at_once() -> None:
    stage = Stage(0.0, shadow=True)
    stage.ask("u1", "u2")
    stage.routing.between()
    stage.routing.follow(CanaryOrder(1))
    assert not stage.routing.between()
    assert stage.challenger.calls == []


def test_a_failure_in_the_shadow_counts_and_harms_nobody() -> None:
    stage = Stage(0.0, shadow=True)
    stage.challenger.fails = raises
    assert label(stage.ask("u1")[0]) == "search@1"
    while stage.routing.between():
        pass
    assert (stage.seen.figures.failed, stage.seen.figures.compared) == (1, 0)


def items(*ids: str) -> list[Item]:
    return [Item(item_id, 1.0, "") for item_id in ids]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (items("a", "b"), items("b", "a"), 1.0),
        (items("a", "b"), items("a"), 0.5),
        (items(), items("a"), 0.0),
        (items(), items(), 1.0),
        (items(*"abcdefghijX"), items(*"abcdefghijY"), 1.0),
    ],
    ids=["order", "fewer", "none", "both empty", "beyond ten"],
)
def test_overlap_is_that_of_the_first_ten(one: list[Item], other: list[Item], shared: float) -> None:
    assert overlap(one, other) == shared


# times ----------------------------------------------------------------------------------------------------------------


def test_times_are_compared_at_equal_batch_sizes() -> None:
    seen = SideBySide("search", "search@1", "search@3", 2.0)
    for _ in range(10):
        seen.champion_took(30, 0.030)
        seen.champion_took(1, 0.004)
    for _ in range(10):
        seen.challenger_took(1, 0.005)  # more than the champion's 1 ms a request in batches of thirty
        seen.challenger_took(2, 0.500)  # of a size that the champion has not had
    assert (seen.figures.timed, seen.figures.slower) == (10, 0)
    seen.challenger_took(1, 0.009)
    assert (seen.figures.timed, seen.figures.slower) == (11, 1)
    assert seen.figures.lost_s == pytest.approx(0.005)


def test_what_nobody_notices_is_not_slower() -> None:
    seen = SideBySide("search", "search@1", "search@3", 2.0)
    for _ in range(10):
        seen.champion_took(1, 0.00001)
        seen.challenger_took(1, 0.0005)
    assert seen.figures.slower == 0


def test_another_canary_begins_with_no_figures_and_another_share_of_the_same_keeps_them() -> None:
    stage = Stage(0.5)
    stage.ask(*USERS)
    before = stage.routing.report()
    assert before.figures.computed > 0
    stage.routing.follow(CanaryOrder(1, 3, 0.9, since=7))
    assert stage.routing.report() == before
    stage.routing.follow(CanaryOrder(1, 3, 0.5, since=9))
    assert (stage.routing.report().since, stage.routing.report().figures.computed) == (9, 0)
