"""A canary in a replica set: both versions in memory, the workers told, and the champion alone whatever goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.channel.canary_figures import CanaryFigures
from consumers.channel.heartbeat import HeartbeatReading
from consumers.channel.messages import CanaryOrder, CanaryReport
from consumers.supervision.member import Member
from models import registry
from models.canary import Canary, Versions
from standfast.core.errors import IntegrityError
from standfast.core.status import ServiceStatus
from tests.support.paper_replicas import PaperMember, PaperNursery, ReplicaStage
from tests.unit.consumers.supervision.test_versions import refuse, serves, staged, step

CANARY = Canary(3, 0.1, since=7)


@pytest.fixture
def stage() -> Iterator[ReplicaStage]:
    """Version 1 serves; nothing is written to a registry (`ended` has what would be)."""
    with staged() as made:
        made.replicas.start(1)
        made.settle()
        yield made


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Canary, str]]:
    kept: list[tuple[Canary, str]] = []
    monkeypatch.setattr(registry, "end_canary", lambda _name, canary, reason: kept.append((canary, reason)))
    return kept


def begin(stage: ReplicaStage, canary: Canary = CANARY) -> None:
    """The canary begins, and all workers have both models."""
    stage.replicas.follow(1, canary)
    stage.settle()
    has(stage, Versions(1, canary.version))


def has(stage: ReplicaStage, versions: Versions) -> None:
    """Asserts that all processes have these versions in memory and none is missing."""
    serves(stage, versions.champion)
    assert [nursery.versions for nursery in stage.alive] == [versions]


def told(stage: ReplicaStage) -> list[CanaryOrder]:
    """What each process was told last and has not obeyed yet."""
    return [order for member in stage.members for order in member.received if isinstance(order, CanaryOrder)]


def seen(stage: ReplicaStage) -> ServiceStatus:
    """The part of the status that is about models."""
    blank = ServiceStatus(name="", workers=0, serving=0, settled=True, auto=False, fewest=1, most=1, partitions=1)
    return stage.replicas.told(blank)


def report(stage: ReplicaStage, member: PaperMember, figures: CanaryFigures, since: int = 7) -> None:
    stage.replicas.received(cast(Member, member), CanaryReport(since, figures))


def written() -> None:
    """Waits for the thread that tells the registry."""
    for thread in threading.enumerate():
        if thread.daemon and "_write" in repr(getattr(thread, "_target", "")):
            thread.join(10)


def test_a_canary_is_brought_in_worker_by_worker_and_goes_the_same_way(stage: ReplicaStage) -> None:
    begin(stage)
    assert seen(stage).champion == "search@1"
    assert (seen(stage).challenger, seen(stage).share, seen(stage).shadow) == ("search@3", 0.1, False)
    stage.replicas.follow(1, None)
    assert told(stage) == [CanaryOrder(1)] * 3, "the champion answers all at once, before anything is loaded"
    stage.settle()
    has(stage, Versions(1))
    assert seen(stage).challenger == ""


def test_a_share_that_grows_replaces_nobody(stage: ReplicaStage) -> None:
    begin(stage)
    before = stage.members
    stage.replicas.follow(1, Canary(3, 0.5, since=7))
    assert told(stage) == [CanaryOrder(1, 3, 0.5, since=7)] * 3
    stage.settle()
    assert stage.members == before


def test_every_new_process_is_told_before_it_serves(stage: ReplicaStage) -> None:
    begin(stage)
    victim = next(member for member in stage.members if member.identity)
    stage.die(victim)
    stage.loop.pass_time(1.0)
    (fresh,) = [member for member in stage.members if member.state == "starting" and member.identity is None]
    assert stage.obey(fresh)
    assert isinstance(fresh.received[0], CanaryOrder)


def test_a_challenger_that_is_promoted_serves_alone(stage: ReplicaStage) -> None:
    begin(stage)
    stage.replicas.follow(3)
    assert told(stage) == [CanaryOrder(3)] * 3
    stage.settle()
    has(stage, Versions(3))


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_alone_and_is_tried_again(stage: ReplicaStage) -> None:
    before = stage.members
    stage.replicas.follow(1, CANARY)
    refuse_challenger(stage, stage.loading[0])
    assert stage.members == before
    assert seen(stage).canary == "it ended; the champion serves alone, and it is tried again"
    assert (stage.replicas.challenger_refused, stage.replicas.refused) == (True, "")
    stage.loop.pass_time(61.0)
    stage.settle()
    has(stage, Versions(1, 3))
    assert not stage.replicas.challenger_refused


@pytest.mark.parametrize("says_so", [True, False], ids=["it is damaged", "the kernel kills it"])
def test_at_a_start_too_the_champion_serves_if_the_challenger_cannot_be_loaded(says_so: bool) -> None:
    with staged() as stage:
        stage.replicas.start(1, CANARY)
        (refuse_challenger if says_so else ReplicaStage.fail)(stage, stage.loading[0])
        (alone,) = stage.loading
        assert alone.versions == Versions(1)
        stage.load(alone)
        while any(stage.obey(member) for member in stage.members):
            continue
        assert {member.state for member in stage.members} == {"serving", "ready"}
        assert stage.replicas.challenger_refused


def test_where_the_champion_cannot_be_loaded_either_one_before_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "served_before", lambda *_: [1])
    with staged() as stage:
        stage.replicas.start(2, CANARY)
        refuse(stage, stage.loading[0])
        assert [nursery.versions for nursery in stage.loading] == [Versions(2)]
        refuse(stage, stage.loading[0])
        assert [nursery.versions for nursery in stage.loading] == [Versions(1)]
        assert stage.replicas.refused


def refuse_challenger(stage: ReplicaStage, nursery: PaperNursery) -> None:
    """The nursery says that it cannot load the challenger."""
    nursery.challenger_refused = True
    refuse(stage, nursery)


def test_a_challenger_that_fails_is_ended_by_what_all_workers_have_seen(
    stage: ReplicaStage, ended: list[tuple[Canary, str]]
) -> None:
    begin(stage)
    first, second, *_ = stage.members
    report(stage, first, CanaryFigures(computed=20, failed=2))
    report(stage, first, CanaryFigures(computed=30, failed=2))
    assert seen(stage).challenger
    report(stage, second, CanaryFigures(computed=10, failed=1))
    assert told(stage) == [CanaryOrder(1)] * 3
    assert (seen(stage).challenger, seen(stage).share) == ("", 0.0)
    why = "it failed on 3 of 43 requests that the champion could answer"
    assert seen(stage).canary.startswith("search@3 was ended at ")
    assert seen(stage).canary.endswith(why)
    written()
    ((canary, reason),) = ended
    assert (canary, reason) == (CANARY, seen(stage).canary)
    stage.replicas.follow(1, CANARY)  # the registry has not been written yet
    stage.settle()
    has(stage, Versions(1))
    stage.replicas.follow(1, None, reason)
    assert seen(stage).canary == reason


def test_an_end_that_could_not_be_written_is_written_later(
    stage: ReplicaStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def fails(name: str, canary: Canary, reason: str) -> bool:
        tries.append(reason)
        raise IntegrityError("active.json was damaged")

    monkeypatch.setattr(registry, "end_canary", fails)
    begin(stage)
    report(stage, stage.members[0], CanaryFigures(failed=9))
    written()
    for count in (2, 3):
        stage.replicas.follow(1, CANARY)
        written()
        assert len(tries) == count
    assert seen(stage).challenger == ""


def test_the_same_version_may_be_tried_again_and_begins_anew(
    stage: ReplicaStage, ended: list[tuple[Canary, str]]
) -> None:
    begin(stage)
    report(stage, stage.members[0], CanaryFigures(failed=9))
    stage.replicas.follow(1, None, "it was worse")
    again = Canary(3, 0.1, since=8)
    begin(stage, again)
    report(stage, stage.members[0], CanaryFigures(failed=9), since=7)
    assert seen(stage).challenger == "search@3", "what was seen in the last canary does not count"
    assert told(stage) == [CanaryOrder(1, 3, 0.1, since=8)], "and who has not heard of this one is told again"


def test_workers_that_die_while_the_challenger_computes_end_it_at_the_second_death(
    stage: ReplicaStage, ended: list[tuple[Canary, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(stage)
    for challenged, still in ((False, True), (False, True), (True, True), (True, False)):
        monkeypatch.setattr(PaperMember, "read", lambda _, mark=challenged: HeartbeatReading(0.0, 0.1, ((0, 1),), mark))
        stage.die(next(member for member in stage.members if member.identity))
        assert bool(seen(stage).challenger) == still
        stage.settle()
    written()
    assert "2 workers died while it computed" in ended[0][1]


STEPS = st.sampled_from([
    "activate 1", "activate 2", "canary 2", "canary 3", "no canary", "load", "fail", "kill", "kill all", "die", "obey",
    "wait", "hang",
])  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=40))
def test_whatever_happens_in_whatever_order_what_is_wanted_serves_in_the_end(steps: list[tuple[str, int]]) -> None:
    with staged() as stage:
        stage.replicas.start(1)
        champion, canary = 1, cast(Canary | None, None)
        for number, (word, which) in enumerate(steps):
            if word.startswith("activate"):
                champion, canary = int(word[-1]), None
            elif "canary" in word:
                other = int(word[-1]) if word[-1].isdecimal() else champion
                canary = None if other == champion else Canary(other, 0.5, since=number)
            else:
                step(stage, word, which)
            stage.replicas.follow(champion, canary)
        stage.settle()
        has(stage, Versions(champion, canary.version if canary is not None else None))
