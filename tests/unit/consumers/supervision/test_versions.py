"""In the end the wanted version serves, whatever happened in between, and no worker dies for the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.channel.messages import CheckWeights, Failed
from consumers.supervision.member import Member
from models import registry
from tests.support.paper_replicas import PaperNursery, ReplicaStage

STEPS = st.sampled_from(
    ["activate 1", "activate 2", "activate 3", "load", "fail", "kill", "kill all", "die", "obey", "wait", "hang"]
)


@contextmanager
def staged() -> Iterator[ReplicaStage]:
    with pytest.MonkeyPatch.context() as patch:
        yield ReplicaStage(patch)


def serves(stage: ReplicaStage, version: int) -> None:
    """Asserts that all processes have this version and none is missing."""
    assert [nursery.version for nursery in stage.alive] == [version]
    assert {member.model for member in stage.members} == {f"search@{version}"}
    assert sorted(member.state for member in stage.members) == ["ready"] * 1 + ["serving"] * 2
    assert {member.identity for member in stage.members} == {"search-0", "search-1", None}
    assert not stage.loading
    assert not stage.replicas.is_renewing
    assert stage.replicas.failure is None


def step(stage: ReplicaStage, word: str, number: int) -> None:
    """Does one event, on the nursery or process number `number` of those it can happen to."""
    if word.startswith("activate"):
        stage.replicas.follow(int(word[-1]))
    elif word == "wait":
        stage.loop.pass_time(1.0)
    elif word in {"load", "fail"} and stage.loading:
        (stage.load if word == "load" else stage.fail)(stage.loading[number % len(stage.loading)])
    elif word in {"kill", "kill all"} and stage.alive:
        kill = stage.fail if word == "kill" else stage.fail_with_its_processes
        kill(stage.alive[number % len(stage.alive)])
    elif word == "hang" and stage.alive + stage.loading:
        stage.hang((stage.alive + stage.loading)[number % len(stage.alive + stage.loading)])
    elif word in {"die", "obey"} and stage.members:
        (stage.die if word == "die" else stage.obey)(stage.members[number % len(stage.members)])
    assert len(stage.loading) <= 1, "one model is loaded at a time"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=40), st.booleans())
def test_whatever_happens_in_whatever_order(steps: list[tuple[str, int]], begun: bool) -> None:
    with staged() as stage:
        stage.replicas.start(1)
        if begun:
            stage.settle()
        wanted = 1
        for word, number in steps:
            step(stage, word, number)
            wanted = int(word[-1]) if word.startswith("activate") else wanted
        stage.settle()
        serves(stage, wanted)


def test_a_roll_back_while_the_version_loads_touches_nobody() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        before = stage.members
        stage.replicas.follow(2)
        (loading,) = stage.loading
        stage.replicas.follow(1)
        assert loading.ended
        assert not stage.loading
        stage.settle()
        assert stage.members == before


def test_a_roll_back_while_workers_are_replaced_goes_to_the_nursery_that_is_there_still() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        stage.replicas.follow(2)
        stage.load(stage.loading[0])
        stage.replicas.follow(1)
        assert not stage.loading, "no model is loaded again"
        stage.settle()
        serves(stage, 1)
        assert [nursery.version for nursery in stage.nurseries] == [1, 2]


def test_a_refused_version_leaves_the_old_one_alone_and_is_tried_again_later_and_when_asked_for_anew() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        before = stage.members
        stage.replicas.follow(2)
        stage.fail(stage.loading[0])
        assert stage.replicas.failure == "it ended"
        stage.loop.pass_time(50.0)
        assert not stage.loading
        assert stage.members == before
        stage.loop.pass_time(11.0)
        stage.fail(stage.loading[0])
        stage.replicas.follow(1)
        assert stage.replicas.failure is None
        stage.replicas.follow(2)
        stage.settle()
        serves(stage, 2)


@pytest.mark.parametrize("end", [ReplicaStage.hang, ReplicaStage.fail])
def test_a_nursery_that_hangs_or_dies_is_replaced_and_nobody_serves_less_for_it(
    end: Callable[[ReplicaStage, PaperNursery], None],
) -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        before = stage.members
        end(stage, stage.alive[0])
        assert stage.members == before
        stage.settle()
        serves(stage, 1)
        assert not set(before) & set(stage.members)


def test_a_worker_that_dies_while_there_is_no_nursery_is_replaced_by_the_standby_that_is_there() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        stage.fail(stage.alive[0])
        worker = next(member for member in stage.members if member.state == "serving")
        stage.die(worker)
        while any(stage.obey(member) for member in stage.members):
            continue
        assert [member.state for member in stage.members] == ["serving"] * 2
        stage.settle()
        serves(stage, 1)


def test_when_the_nursery_dies_while_the_wanted_version_is_refused_the_last_good_one_serves() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        stage.replicas.follow(2)
        stage.fail(stage.loading[0])
        stage.fail_with_its_processes(stage.alive[0])
        stage.loop.pass_time(1.0)
        assert [nursery.version for nursery in stage.loading] == [1]
        stage.load(stage.loading[0])
        assert len(stage.members) == 3


# a version whose files are damaged ------------------------------------------------------------------------------------


def refuse(stage: ReplicaStage, nursery: PaperNursery) -> None:
    """The nursery says that it cannot load its version."""
    nursery.refused = True
    stage.fail(nursery)


def test_at_a_start_with_a_damaged_version_the_last_good_one_serves_and_the_status_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "served_before", lambda *_: [2, 1])
    with staged() as stage:
        stage.replicas.start(3)
        refuse(stage, stage.loading[0])
        assert [nursery.version for nursery in stage.loading] == [2]
        refuse(stage, stage.loading[0])
        assert [nursery.version for nursery in stage.loading] == [1], "the one before was damaged as well"
        assert stage.replicas.refused == "it ended; nothing serves, and it is tried again"
        stage.load(stage.loading[0])
        while any(stage.obey(member) for member in stage.members):
            continue
        assert {member.model for member in stage.members} == {"search@1"}
        assert stage.replicas.refused == "it ended; search@1 serves in its place"
        stage.loop.pass_time(50.0)
        assert not stage.loading
        stage.settle()
        serves(stage, 3)
        assert stage.replicas.refused == ""


def test_a_damaged_version_does_not_keep_the_last_good_one_from_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "served_before", lambda *_: [1])
    with staged() as stage:
        stage.replicas.start(2)
        stage.settle()
        stage.fail(stage.alive[0])
        stage.loop.pass_time(1.0)
        (again,) = stage.loading
        assert again.version == 2, "a nursery that was killed is no reason to serve another version"
        refuse(stage, again)
        (instead,) = stage.loading
        assert instead.version == 1
        stage.loop.pass_time(20.0)
        assert not instead.ended, "a model may take so long to load"
        stage.load(instead)
        assert len(stage.members) > 3, "its standbys take over from the workers that are there"


def test_a_damaged_version_with_none_before_it_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "served_before", lambda *_: [])
    with staged() as stage:
        stage.replicas.start(1)
        refuse(stage, stage.loading[0])
        assert not stage.loading
        stage.loop.pass_time(1.0)
        assert [nursery.version for nursery in stage.loading] == [1]


# weights that are damaged in memory -----------------------------------------------------------------------------------


def test_when_one_process_finds_damage_all_of_the_service_compare_their_weights() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        (nursery,) = stage.alive
        victim, *others = stage.members
        stage.replicas.received(cast(Member, victim), Failed("search@1 is damaged in memory", damaged=True))
        assert all(CheckWeights() in member.received for member in others)
        assert nursery.checks == 1
        stage.die(victim)
        stage.settle()
        serves(stage, 1)
        assert stage.alive == [nursery], "one worker's own copy of a page was damaged, and nobody else's"


def test_a_nursery_that_is_damaged_is_replaced_by_one_that_loads_the_model_anew() -> None:
    with staged() as stage:
        stage.replicas.start(1)
        stage.settle()
        (nursery,) = stage.alive
        nursery.damaged = True
        stage.fail(nursery)
        assert all(CheckWeights() in member.received for member in stage.members)
        stage.settle()
        serves(stage, 1)
        assert stage.alive != [nursery]
