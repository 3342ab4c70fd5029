"""What stops drills and what lets them begin: lever, approval, signatures, several at once. The system is a toy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from drills.control.events import now_ms
from drills.safety import lever
from drills.safety.signatures import keygen, signer
from standfast.core.settings import DrillSettings, KafkaSettings, Settings
from standfast.kafka.cluster import Cluster
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.waiting import wait_until

LONG = {"before_s": 60.0, "p99_ms": 30_000, "rto_ms": 30_000}
FROZEN = LONG | {"before_s": 1.0, "after_s": 100.0, "recover_within_s": 100.0, "at_most_s": 300.0}


@pytest.fixture
def stage(state: Path, broker: str, unique: str) -> Iterator[DrillStage]:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3))
    stage = DrillStage(settings)
    yield stage
    stage.close()


def with_drills(stage: DrillStage, **drills: object) -> Settings:
    return stage.settings.model_copy(update={"drills": DrillSettings(**drills)})  # type: ignore[arg-type]


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_lever_stops_what_runs_and_refuses_what_comes_also_after_a_restart(stage: DrillStage) -> None:
    with SmallSystem(stage.settings) as system:
        before = system.pids()
        with runner_in_a_thread(stage.settings):
            stage.order(drill="worker-kill", drill_id="d1", params=LONG)
            stage.reached("d1", "accepted")
            stage.order(lever="engaged", drill_id="l1", reason="sale", requested_by="ann")
            stopped, moved = stage.last("d1"), stage.last("l1")
        assert (stopped.phase, stopped.verdict, stopped.injected) == ("aborted", "aborted", None)
        assert "the lever" in (stopped.reason or "")
        assert (moved.phase, moved.verdict) == ("completed", "passed")
        assert moved.reason == "the lever is engaged (sale): new drills are refused, and d1 stopped"
        with runner_in_a_thread(stage.settings):
            stage.order(drill="worker-kill", drill_id="d2", dry_run=True)
            refused = stage.last("d2")
            assert (refused.phase, refused.verdict) == ("rejected", "rejected")
            assert "the lever is engaged by ann: sale" in (refused.reason or "")
            stage.order(lever="released", drill_id="l2")
            assert stage.last("l2").reason == "the lever is released: drills may run"
            stage.order(drill="worker-kill", drill_id="d3", params=LONG)
            stage.reached("d3", "accepted")
            lever.path().touch()
            lever.path().write_text("by hand")
            assert "by hand" in (stage.last("d3").reason or "")
        assert system.pids() == before


def test_the_lever_is_a_file_and_undoes_the_fault_while_kafka_is_frozen(state: Path, tmp_path: Path) -> None:
    with Cluster(brokers=1, folder=tmp_path / "kafka") as cluster:
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, topic_prefix="x.", partitions=3)
        stage = DrillStage(Settings(kafka=kafka))
        broker = cluster.nodes[0].pid
        assert broker is not None
        with SmallSystem(stage.settings) as system, runner_in_a_thread(stage.settings):
            victim = system.pids()["search-0"]
            stage.order(drill="worker-freeze", drill_id="d1", params=FROZEN, target={"worker": "search-0"})
            stage.reached("d1", "injected", within=60)
            assert process_state(victim) == "T"
            os.kill(broker, signal.SIGSTOP)
            try:
                pulled = time.monotonic()
                lever.set_lever(engage=True, reason="Kafka is frozen")
                wait_until(lambda: process_state(victim) != "T", 30, every=0.01, what="the victim to go on")
                took_s = time.monotonic() - pulled
            finally:
                os.kill(broker, signal.SIGCONT)
            last = stage.last("d1")
        assert (last.phase, last.injected, last.undone) == ("aborted", "passed", "passed")
        assert "Kafka is frozen" in (last.reason or "")
        stage.close()
    assert took_s < 10, f"undone {took_s:.2f} s after the lever; the limit on an idle machine is 2 s"


def test_a_drill_above_the_radius_waits_for_another_name(stage: DrillStage) -> None:
    settings = with_drills(stage, approve_above_processes=0, approve_within_s=3, at_once=2)
    with SmallSystem(stage.settings), runner_in_a_thread(settings):
        stage.order(drill="worker-kill", drill_id="none", params=LONG)
        assert "say who asks" in (stage.last("none").reason or "")
        for drill_id in ("late", "called-off"):
            stage.order(drill="worker-kill", drill_id=drill_id, params=LONG, requested_by="ann")
        stage.reached("called-off", "accepted")
        stage.order(abort="called-off")
        assert stage.phases("called-off") == ["accepted", "aborted"] or stage.last("called-off").phase == "aborted"
        assert "nobody approved it within 3 s" in (stage.last("late").reason or "")
        stage.order(drill="worker-kill", drill_id="d1", params=LONG, requested_by="ann", target={"worker": "search-0"})
        stage.order(approve="d1", drill_id="a1", requested_by="ann")
        stage.order(approve="d1", drill_id="a2", requested_by="bob")
        assert "another name must approve it" in (stage.last("a1").reason or "")
        assert stage.last("a2").reason == "d1 is approved"
        waited, began, *_ = stage.events("d1")
        assert "waits at most 3 s until another than 'ann' approves it" in (waited.reason or "")
        assert (began.phase, (began.reason or "").startswith("approved by bob; takes")) == ("accepted", True)
        stage.order(drill="worker-kill", drill_id="d2", params=LONG, requested_by="ann", target={"worker": "search-0"})
        assert "another drill strikes search-0 already" in (stage.last("d2").reason or "")
        stage.order(abort="*", drill_id="end")
        assert stage.last("d1").phase == "aborted"
        assert (stage.last("end").phase, stage.last("end").reason) == ("completed", "everything is being stopped")


def test_two_drills_may_run_at_once_but_never_on_all_replicas(stage: DrillStage) -> None:
    with SmallSystem(stage.settings), runner_in_a_thread(with_drills(stage, at_once=2)):
        stage.order(drill="worker-kill", drill_id="d1", params=LONG, target={"worker": "search-0"})
        stage.order(drill="worker-kill", drill_id="d2", params=LONG, target={"worker": "search-1"})
        stage.reached("d1", "accepted")
        reason = stage.last("d2").reason or ""
        assert "is the only worker" in reason or "no standby is ready" in reason
        stage.order(abort="d1")
        assert stage.last("d1").phase == "aborted"


def test_where_signatures_are_asked_for_an_event_counts_once(stage: DrillStage, tmp_path: Path) -> None:
    keygen("ann", tmp_path)
    key = signer(tmp_path / "ann.pem")
    producer = Producer({"bootstrap.servers": stage.settings.kafka.bootstrap_servers})
    settings = with_drills(stage, signatures=True, keys=str(tmp_path))

    def send(value: bytes, headers: list[tuple[str, bytes]]) -> None:
        producer.produce(stage.topic, value, headers=headers)
        assert producer.flush(10) == 0

    valid_until = now_ms() + 600_000
    value = b'{"drill": "worker-kill", "dry_run": true, "drill_id": "d1", "valid_until": %d}' % valid_until
    with SmallSystem(stage.settings):
        with runner_in_a_thread(settings):
            send(value, key.headers(value))
            assert (stage.last("d1").phase, stage.last("d1").requested_by) == ("completed", "ann")
            send(value, [])
            assert "used before" in (stage.last(f"{stage.topic}-0-1").reason or "")
        with runner_in_a_thread(settings):
            send(value, key.headers(value))
            assert "used before" in (stage.last(f"{stage.topic}-0-2").reason or "")
            stage.order(drill="worker-kill", drill_id="d2", dry_run=True)
            assert "not signed, and the setting drills.signatures asks for it" in (stage.last("d2").reason or "")
            altered = value.replace(b"d1", b"d3")
            send(altered, key.headers(value))
            assert "is not that of the key 'ann'" in (stage.last("d3").reason or "")
