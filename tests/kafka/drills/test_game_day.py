"""A game day: nobody can see which drill it is before the end, and everybody's times are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from drills.control.events import FINAL
from drills.gamedays.reactions import Reaction, findings, reaction, times
from standfast.core.settings import KafkaSettings, Settings
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.waiting import wait_until

SLOW = {"rate": 100.0, "before_s": 1.0, "after_s": 100.0, "p99_ms": 30_000, "rto_ms": 30_000}


@pytest.fixture
def stage(state: Path, broker: str, unique: str) -> Iterator[DrillStage]:
    stage = DrillStage(Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3)))
    yield stage
    stage.close()


def test_the_drill_is_named_at_the_end_and_who_did_what_when(stage: DrillStage) -> None:
    with SmallSystem(stage.settings):
        with runner_in_a_thread(stage.settings):
            stage.order(gameday="ack", drill_id="early", requested_by="ann")
            assert "no game day is open" in (stage.last("early").reason or "")
            stage.order(gameday="start", drill="worker-kill,worker-kill", drill_id="g", params=SLOW, requested_by="eve")
            stage.reached("g.drill", "injected")
            stage.order(gameday="start", drill_id="g2")
            assert "the game day g is open" in (stage.last("g2").reason or "")
            stage.order(gameday="ack", drill_id="a1", requested_by="ann", team="search")
            assert "ann (search) acknowledged" in (stage.last("a1").reason or "")
            stage.order(gameday="decided", drill_id="a2", requested_by="bob", reason="wait for the standby")
            assert stage.last("a2").verdict == "passed"
            stage.reached("g.drill", "recovered", within=60)
        with runner_in_a_thread(stage.settings):
            assert stage.last("g.drill").phase == "aborted", "its runner was stopped"
            seen = [outcome.event for outcome in stage.outcomes() if outcome.event.drill_id in {"g", "g.drill"}]
            assert "worker-kill" not in msgspec.json.encode(seen).decode()
            assert "search-0" not in msgspec.json.encode(seen).decode()
            stage.order(gameday="end", drill_id="e", requested_by="eve")
            last = stage.last("g")
    assert (last.phase, last.verdict, last.drill) == ("completed", "aborted", "gameday")
    assert (last.reason or "").startswith("it was worker-kill: aborted")
    assert last.params is not None
    assert last.params["drill"] == "worker-kill"
    assert set(last.params) == {"drill", "ack_ms", "decided_ms"}
    lines = "\n".join(last.findings or ())
    assert "passed: ann (search) acknowledged after" in lines
    assert "passed: bob decided what to do after" in lines
    assert "unknown: nobody said it is fixed" in lines
    events = [outcome.event for outcome in stage.outcomes()]
    assert [event.phase for event in events if event.drill_id == "g.drill"].count("accepted") == 1
    assert len([event for event in events if event.drill_id == "g" and event.phase in FINAL]) == 1


def test_a_game_day_whose_drill_is_refused_ends_at_once_and_one_that_is_ended_stops_its_drill(
    stage: DrillStage,
) -> None:
    with SmallSystem(stage.settings), runner_in_a_thread(stage.settings):
        stage.order(gameday="start", drill="none", drill_id="n")
        assert "there is no drill 'none'" in (stage.last("n").reason or "")
        stage.order(gameday="start", drill="worker-kill", drill_id="r", target={"worker": "search-9"})
        refused = stage.last("r")
        assert refused.phase == "rejected"
        assert "it was worker-kill; nothing was injected: " in (refused.reason or "")
        stage.order(gameday="start", drill="worker-kill", drill_id="g", params=SLOW | {"before_s": 60.0})
        stage.reached("g.drill", "accepted")
        stage.order(abort="g")
        assert stage.last("g.drill").phase == "aborted"
        assert wait_until(lambda: stage.last("g").phase == "completed", what="the end of the game day")


def test_a_game_day_that_nobody_has_answered_does_not_begin_later(stage: DrillStage) -> None:
    """The command gave up after 10 s, and a runner that came within a minute struck all the same."""
    environment = {**os.environ, "STANDFAST_KAFKA__TOPIC_PREFIX": stage.settings.kafka.topic_prefix}
    environment["KAFKA_BOOTSTRAP_SERVERS"] = stage.settings.kafka.bootstrap_servers
    call = [sys.executable, "-m", "standfast", "gameday", "start", "worker-kill"]
    with SmallSystem(stage.settings) as system:
        before = system.pids()
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode != 0
        assert "no drill runner answered" in done.stderr
        assert "it was called off, and nothing of it begins later" in done.stderr
        with runner_in_a_thread(stage.settings):
            stage.order(drill="none", drill_id="behind")
            stage.last("behind")
            events = [outcome.event for outcome in stage.outcomes() if outcome.event.drill_id != "behind"]
        assert [(event.drill, event.phase) for event in events] == [("gameday", "rejected"), ("abort", "rejected")]
        assert "nothing is begun" in (events[0].reason or "")
        assert system.pids() == before


def test_times_are_the_first_after_the_fault_and_survive_as_fields() -> None:
    said = [
        Reaction("ack", "ann", "search", "", None),
        Reaction("ack", "bob", "", "", 1500),
        Reaction("ack", "ann", "search", "", 2500),
        Reaction("note", "ann", "search", "hm", 2600),
        Reaction("fixed", "ann", "search", "done", 9000),
    ]
    assert times(said) == {"ack_ms": 1500, "fixed_ms": 9000}
    assert [reaction(each.fields()) for each in said] == said
    assert reaction({"sealed": "x"}) is None
    assert findings(said) == [
        "passed: ann (search) acknowledged after 2.5 s, said it is fixed after 9.0 s",
        "passed: bob acknowledged after 1.5 s",
        "unknown: nobody decided what to do",
    ]
