"""Which answer an interaction is about, told once; and in which order the two topics are joined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Interaction, Item, Label, Result
from streams.feedback.labels import Labels
from streams.feedback.shown import Shown, ShownAnswer, shown_answer
from streams.oldest_offsets import OldestOffsets, Partition
from streams.traffic import Traffic

_HOUR = 3_600_000
_RESULTS = ("recommend.results", "search.results")


def shown(most: int = 100) -> Shown:
    return Shown(_HOUR, most, ("search", "recommend"), ("recommend",))


def answer(request_id: str, at: int, *items: str, user: str = "u", service: str = "recommend") -> ShownAnswer:
    return ShownAnswer(service, request_id, f"{service}@1", at, user.encode(), items)


def click(item: str, user: str = "u", request_id: str | None = None, event: str = "click") -> Interaction:
    return Interaction(user_id=user, item_id=item, event=event, request_id=request_id)


def test_a_click_is_about_the_last_answer_to_its_user_that_showed_the_product() -> None:
    memory = shown()
    for made in (answer("r1", 0, "a", "b"), answer("r2", 10, "b", "c"), answer("r3", 20, "b", user="other")):
        memory.show(made)
    found = [memory.label(click(item), 30) for item in ("a", "b", "c", "d")]
    assert [(label.request_id, label.position) if label else None for label in found] == [
        ("r1", 1), ("r2", 1), ("r2", 2), None,
    ]  # fmt: skip


def test_a_click_that_names_its_answer_is_about_that_one_and_about_no_other() -> None:
    memory = shown()
    memory.show(answer("page", 0, "a", service="search", user="whatever"))
    memory.show(answer("page", 0, "b"))
    memory.show(answer("r2", 10, "a", "b"))
    services = [memory.label(click(item, request_id="page"), 20) for item in ("a", "b", "c")]
    assert [label.service if label else None for label in services] == ["search", "recommend", None]
    assert memory.label(click("a", request_id="nobody's"), 20) is None


def test_each_product_and_event_of_an_answer_is_told_once() -> None:
    memory = shown()
    memory.show(answer("r1", 0, "a", "b"))
    told = [memory.label(click("a", event=event), 5) for event in ("click", "click", "purchase", "click")]
    assert [label.event if label else None for label in told] == ["click", None, "purchase", None]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3 * _HOUR)), max_size=40), st.integers(0, 4 * _HOUR))
def test_no_label_outside_the_time_and_no_more_answers_than_allowed(answers: list[tuple[int, int]], when: int) -> None:
    memory = shown(most=10)
    ordered = sorted(answers, key=lambda pair: pair[1])
    for number, (item, at) in enumerate(ordered):
        memory.show(answer(f"r{number}", at, f"i{item}"))
    assert len(memory) <= 10
    kept = [(number, item, at) for number, (item, at) in enumerate(ordered)][-10:]
    newest = ordered[-1][1] if ordered else 0
    for item in range(4):
        shows = [(number, at) for number, of, at in kept if of == item and newest - at <= _HOUR]
        about = [number for number, at in shows if -1000 <= when - at <= _HOUR]
        label = memory.label(click(f"i{item}"), when)
        assert (label.request_id if label else None) == (f"r{about[-1]}" if about else None)


@pytest.mark.parametrize(
    "result",
    [
        Result(request_id="r", status="ok", model="recommend@1"),
        Result(request_id="r", status="overloaded", model="recommend@1", items=[Item(item_id="a", score=1, title="")]),
        Result(request_id="r", status="ok", model="anything", items=[Item(item_id="a", score=1, title="")]),
    ],
    ids=["nothing shown", "not answered", "of no version"],
)
def test_what_showed_nothing_of_a_version_is_not_remembered(result: Result) -> None:
    assert shown_answer("recommend", b"u", result, 0) is None


def test_answers_of_before_stand_before_those_that_came_while_they_were_read() -> None:
    memory = shown(most=2)
    memory.show(answer("new", 30, "a"))
    memory.restore([answer("old", 20, "a"), answer("oldest", 10, "a"), answer("new", 30, "a")])
    assert len(memory) == 2
    label = memory.label(click("a", request_id="old"), 40)
    assert label is not None
    assert memory.label(click("a", request_id="oldest"), 40) is None


class Topics:
    """A reader of one partition of each topic of answers: `behind` has those that are not read to their end."""

    def __init__(self) -> None:
        self.behind: set[str] = set()

    def assignment(self) -> set[Partition]:
        return {(topic, 0) for topic in _RESULTS}

    def highwater(self, partition: Partition) -> int | None:
        return 10 if partition[0] in _RESULTS else None

    async def position(self, partition: Partition) -> int | None:
        return 5 if partition[0] in self.behind else 10


class Joined:
    """The join with its collaborators, and the labels that were written."""

    def __init__(self) -> None:
        self.oldest, self.topics = OldestOffsets(), Topics()
        self.traffic = Traffic(self.oldest, _RESULTS, 10.0)
        self.labels = Labels(self.oldest, self.traffic, shown(), _RESULTS, keep=True)
        self.written: list[Label] = []
        self.failing: Exception | None = None

    def heard(self, offset: int, interaction: Interaction, at: int) -> None:
        self.oldest.fetched(("interactions", 0), offset)
        self.labels.heard(("interactions", 0), offset, interaction, at)
        self.oldest.mark_processed(("interactions", 0), offset)

    def follow(self, now: int) -> None:
        """Lets it work until it waits for the second time."""

        async def write(label: Label) -> Awaitable[object]:
            self.written.append(label)
            future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            future.set_exception(self.failing) if self.failing else future.set_result(None)
            return future

        async def limited() -> None:
            await asyncio.wait_for(self.labels.follow(lambda: self.topics, lambda: now, write), 0.4)

        with pytest.raises(type(self.failing) if self.failing else TimeoutError):
            asyncio.run(limited())

    @property
    def committable(self) -> int:
        return self.oldest.committable()["interactions", 0]


def test_an_interaction_waits_until_the_answers_of_its_time_are_read() -> None:
    join = Joined()
    join.labels.restart_from([])
    join.heard(7, click("a"), 1000)
    join.topics.behind = {"recommend.results"}
    join.follow(now=10_000)
    assert (join.written, join.committable) == ([], 7)
    join.labels.answered(answer("r1", 900, "a"))
    join.topics.behind.clear()
    join.follow(now=10_000)
    assert [label.request_id for label in join.written] == ["r1"]
    assert join.committable == 8


def test_nothing_is_joined_before_the_answers_of_before_are_read_back() -> None:
    join = Joined()
    join.heard(7, click("a"), 1000)
    join.follow(now=10_000)
    assert join.committable == 7
    join.labels.restart_from([answer("r1", 900, "a")])
    join.follow(now=10_000)
    assert ([label.request_id for label in join.written], join.committable) == (["r1"], 8)


def test_a_label_that_cannot_be_written_ends_the_join_and_is_not_committed() -> None:
    join = Joined()
    join.labels.restart_from([answer("r1", 900, "a")])
    join.heard(7, click("a"), 1000)
    join.failing = ConnectionError("the producer has ended")
    join.follow(now=10_000)
    assert join.committable == 7
