"""Campaigns and schedules in a real runner: one drill after the other, nothing twice, also over a restart."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from drills.campaigns import CAMPAIGNS
from drills.control.events import FINAL
from drills.safety import lever
from drills.schedules import SCHEDULES
from standfast import topics
from standfast.core import clients
from standfast.core.settings import DrillSettings, KafkaSettings, Settings
from tests.support.drill_stage import DrillStage, RunnerProcess, runner_in_a_thread
from tests.support.small_system import SmallSystem

QUICK = "{rate: 100, before_s: 1, after_s: 1, p99_ms: 30000, rto_ms: 30000}"
TWO = f"""
title: Two kills.
why: To see what comes after what.
pause_s: 0
steps:
  - {{drill: worker-kill, params: {QUICK}}}
  - {{drill: worker-kill, params: {QUICK}, target: {{partition: 2}}}}
"""


@pytest.fixture
def stage(state: Path, broker: str, unique: str) -> Iterator[DrillStage]:
    kafka = KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3)
    (CAMPAIGNS.own() / "two.yaml").write_text(TWO)
    stage = DrillStage(Settings(kafka=kafka, drills=DrillSettings()))
    yield stage
    stage.close()


def test_a_campaign_goes_on_after_its_runner_was_killed_and_begins_no_drill_twice(stage: DrillStage) -> None:
    with SmallSystem(stage.settings), RunnerProcess(stage.settings) as runner:
        stage.order(campaign="two", drill_id="c", seed=7, requested_by="ann")
        stage.reached("c.1", "accepted", within=60)
        stage.order(campaign="two", drill_id="c2")
        assert "the campaign c is running" in (stage.last("c2").reason or "")
        runner.end(signal.SIGKILL)
        (CAMPAIGNS.own() / "two.yaml").unlink()
        runner.start()
        last = stage.last("c")
    events = [outcome.event for outcome in stage.outcomes()]
    assert (last.phase, last.drill, last.seed, last.requested_by) == ("completed", "campaign:two", 7, "ann")
    first, second = (stage.last(f"c.{number}") for number in (1, 2))
    assert first.verdict == "aborted"
    assert (last.lost, last.duplicated) == (second.lost or 0, second.duplicated or 0)
    assert last.verdict == ("failed" if second.verdict == "failed" else "unknown"), "the first drill was aborted"
    for drill_id in ("c", "c.1", "c.2"):
        mine = [event for event in events if event.drill_id == drill_id]
        assert [event.phase for event in mine].count("accepted") == 1
        assert len([event for event in mine if event.phase in FINAL]) == 1
    assert [finding.split()[1] for finding in last.findings or ()] == ["c.1", "c.2"]


def test_a_stopped_campaign_stops_its_drill_and_a_lever_stops_both(stage: DrillStage) -> None:
    with SmallSystem(stage.settings), runner_in_a_thread(stage.settings):
        stage.order(campaign="none", drill_id="n")
        assert "there is no campaign 'none'" in (stage.last("n").reason or "")
        stage.order(campaign="two", drill_id="dry", dry_run=True)
        assert len(stage.last("dry").findings or ()) == 2
        for drill_id, stop in (("c", "order"), ("d", "lever")):
            stage.order(campaign="two", drill_id=drill_id)
            stage.reached(f"{drill_id}.1", "accepted")
            if stop == "order":
                stage.order(abort=drill_id)
            else:
                lever.set_lever(engage=True, reason="enough")
            assert stage.last(f"{drill_id}.1").phase == "aborted"
            last = stage.last(drill_id)
            assert (last.phase, last.verdict) == ("aborted", "aborted")
            assert ("stopped by the command" if stop == "order" else "enough") in (last.reason or "")
        assert not stage.events("c.2")
        assert not stage.events("d.2")


def test_a_schedule_begins_what_is_due_once_and_says_what_was_missed(stage: DrillStage) -> None:
    topics.apply(AdminClient(clients.base(stage.settings, "test")), stage.settings.kafka)
    hour = int(time.time()) // 3600 * 3600
    for name, grace_s in (("now", 3600), ("late", 1)):
        file = SCHEDULES.own() / f"{name}.yaml"
        file.write_text(f"cron: '0 * * * *'\ndrill: none\ngrace_s: {grace_s}\n")
        os.utime(file, (hour - 60, hour - 60))
    for _ in range(2):
        with runner_in_a_thread(stage.settings):
            now, late = stage.last(f"now-{hour}"), stage.last(f"late-{hour}")
            stage.order(drill="none", drill_id=f"after-{time.monotonic_ns()}")
            time.sleep(1.5)  # the clock is looked at once a second
    assert now.reason is not None
    assert now.reason.startswith("there is no drill 'none'")
    assert now.requested_by == "schedule now"
    assert "1 times of the schedule late were missed" in (late.reason or "")
    assert len(stage.events(f"now-{hour}")) == len(stage.events(f"late-{hour}")) == 1
