"""Drills on a real Kafka: real processes die, and the events on drills.results say what happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from drills.catalogue import find
from drills.evidence.logbook import kept
from drills.faults import FAULTS
from drills.running import runner as runner_module
from drills.running.ordered_fault import OrderedFault
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core.errors import DrillError
from standfast.core.settings import KafkaSettings, Settings
from tests.support.desk import Desk
from tests.support.drill_stage import DrillStage, RunnerProcess, agent_in_a_thread, runner_in_a_thread
from tests.support.small_system import SmallSystem
from tests.support.standing_still import exit_code
from tests.support.toys import toy_fault
from tests.waiting import wait_until

# Objectives that a busy machine meets too: the drill is tested, not the machine.
QUICK = {"rate": 150.0, "before_s": 1.0, "after_s": 1.0, "p99_ms": 30_000, "rto_ms": 30_000}
HOPELESS = {"recover_within_s": 1.5, "rto_ms": 1000, "answer_within_s": 5.0, "restore_within_s": 3.0}


@pytest.fixture
def stage(state: Path, broker: str, unique: str) -> Iterator[DrillStage]:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker, topic_prefix=f"{unique}.", partitions=3))
    stage = DrillStage(settings)
    yield stage
    stage.close()


@pytest.fixture
def system(stage: DrillStage) -> Iterator[SmallSystem]:
    with SmallSystem(stage.settings) as running:
        yield running


def test_the_busiest_worker_is_killed_and_its_successor_loses_nothing(stage: DrillStage, system: SmallSystem) -> None:
    before = system.pids()
    with RunnerProcess(stage.settings):
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK)
        last = stage.last("d1")
        assert stage.phases("d1") == [
            "accepted", "steady_state", "injected", "observing", "recovered", "rolled_back", "completed"
        ]  # fmt: skip
    assert (last.verdict, last.injected, last.held, last.undone, last.score) == ("passed",) * 4 + (100.0,), last
    assert (last.lost, last.duplicated, last.out_of_order) == (0, 0, 0)
    assert last.rto_ms is not None
    assert last.rto_ms > 1
    assert last.latency_before is not None
    assert last.latency_before.count >= 100
    assert last.target is not None
    assert (last.target["worker"], last.target["pid"]) == ("search-0", before["search-0"])
    assert {"search-1": before["search-1"]}.items() <= system.pids().items()


def test_a_worker_that_nobody_replaces_fails_the_drill(stage: DrillStage) -> None:
    with SmallSystem(stage.settings, successor=None), RunnerProcess(stage.settings):
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK | HOPELESS)
        last = stage.last("d1")
        assert "recovered" not in stage.phases("d1")
    assert (last.verdict, last.injected, last.held, last.undone) == ("failed", "passed", "failed", "failed")
    assert (last.rto_ms, last.score) == (None, 0.0)
    assert last.lost


def test_a_successor_that_answers_twice_fails_the_drill(stage: DrillStage) -> None:
    with SmallSystem(stage.settings, successor="twice"), RunnerProcess(stage.settings):
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK)
        last = stage.last("d1")
    assert (last.verdict, last.held, last.undone, last.lost, last.score) == ("failed", "failed", "passed", 0, 0.0)
    assert last.duplicated


def test_a_successor_that_swaps_its_answers_fails_the_drill(stage: DrillStage) -> None:
    with SmallSystem(stage.settings, successor="swapped"), RunnerProcess(stage.settings):
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK)
        last = stage.last("d1")
    assert (last.verdict, last.held, last.undone, last.lost, last.score) == ("failed", "failed", "passed", 0, 0.0)
    assert any("answers that cannot be to their requests" in finding for finding in last.findings or ())


def test_a_system_that_does_not_answer_is_not_broken_further(stage: DrillStage) -> None:
    with SmallSystem(stage.settings, mode="silent") as silent, RunnerProcess(stage.settings):
        before = silent.pids()
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK | {"answer_within_s": 0.5})
        last = stage.last("d1")
        assert stage.phases("d1") == ["accepted", "rejected"]
        assert silent.pids() == before
    assert last.reason is not None
    assert "the steady state is already broken, so nothing was injected: 1" in last.reason


def test_what_cannot_run_is_refused_with_the_reason_and_the_runner_goes_on(
    stage: DrillStage, system: SmallSystem
) -> None:
    orders: list[tuple[bytes | None, str]] = [
        (b"worker-kil", "did you mean worker-kill?"),
        (b'{"drill": "worker-kill", "params": {"rate": "many"}}', "rate = 'many': give a number (1 to 2000)"),
        (b'{"drill": "worker-kill", "duration_s": 1e6}', "drills.max_duration_s"),
        (b'{"drill": "worker-kill", "target": {"worker": "search-7"}}', "there are: search-0, search-1"),
        (b'{"drill": "worker-kill", "params": {"service": "recommend"}}', "no worker of recommend is active"),
        (b'{"drill": 3}', "Expected `str | null`, got `int`"),
        (b"{}", "names either a drill or an abort"),
        (b'{"abort": "nothing"}', "there is no drill 'nothing' to abort; none is running"),
        (b'{"drill": "worker-kill", "drill_id": "a b"}', "use 1 to 120 letters"),
        (b"{broken", "neither JSON"),
        (b"\xc3\x01nonsense", "no drill_command schema has the fingerprint"),
        (b"\x00\x00\x00\x00\x07rest", "set SCHEMA_REGISTRY_URL"),
        (None, "the record is empty"),
    ]
    for value, _ in orders:
        stage.send(value)
    before = system.pids()
    with RunnerProcess(stage.settings) as runner:
        for number, (value, reason) in enumerate(orders):
            last = stage.last(f"{stage.topic}-0-{number}", within=15)
            assert (last.phase, last.verdict) == ("rejected", "rejected")
            assert reason in (last.reason or ""), value
        assert runner.process.poll() is None
    assert len(stage.outcomes()) == len(orders)
    assert system.pids() == before
    dead = stage.dead_letters()
    assert [value for value, _ in dead] == [value for value, _ in orders[-4:]]
    assert dead[0][1]["error-topic"] == stage.topic.encode()
    assert b"neither JSON" in dead[0][1]["error-reason"]


def test_a_dry_run_names_its_target_in_the_encoding_of_the_command_and_touches_nothing(
    stage: DrillStage, system: SmallSystem
) -> None:
    before = system.pids()
    with RunnerProcess(stage.settings):
        stage.order(Encoding.AVRO, drill="worker-kill", drill_id="d1", dry_run=True, target={"partition": 2})
        last = stage.last("d1")
    assert (last.phase, last.verdict) == ("completed", "unknown")
    assert last.target is not None
    assert last.target["worker"] == "search-1"
    assert {outcome.encoding for outcome in stage.outcomes()} == {Encoding.AVRO}
    assert system.pids() == before


def test_orders_reach_the_agents_also_where_somebody_added_partitions(stage: DrillStage, system: SmallSystem) -> None:
    """Orders went to the partition that their key chose, and agents read the first: every drill was rejected."""
    Desk(stage.settings).grow("drills.orders", 5)
    with RunnerProcess(stage.settings):
        for number in range(3):
            stage.order(drill="worker-kill", drill_id=f"d{number}", dry_run=True)
            assert stage.last(f"d{number}").phase == "completed"


def test_the_bare_word_from_a_console_is_a_drill_with_all_defaults(stage: DrillStage, system: SmallSystem) -> None:
    stage.send(b"worker-kill\n")
    with RunnerProcess(stage.settings):
        drill_id = f"{stage.topic}-0-0"
        stage.reached(drill_id, "accepted")
        stage.order(abort=drill_id)
        assert stage.last(drill_id).verdict == "aborted"
    accepted = stage.events(drill_id)[0]
    assert accepted.params == {param.name: param.default for param in find("worker-kill").params}


def test_one_drill_at_a_time_and_an_abort_stops_it(stage: DrillStage, system: SmallSystem) -> None:
    before = system.pids()
    with RunnerProcess(stage.settings):
        stage.order(drill="worker-kill", drill_id="long", params={"before_s": 60})
        stage.reached("long", "accepted")
        stage.order(drill="worker-kill", drill_id="second")
        assert "busy with long" in (stage.last("second").reason or "")
        stage.order(drill="worker-kill", drill_id="long")
        assert "used before" in (stage.last(f"{stage.topic}-0-2").reason or "")
        stage.order(abort="*")
        last = stage.last("long")
        assert (last.phase, last.verdict, last.injected) == ("aborted", "aborted", None)
        stage.order(drill="worker-kill", drill_id="third", dry_run=True)
        assert stage.last("third").phase == "completed"
    assert system.pids() == before


def test_a_runner_killed_in_mid_drill_ends_it_as_aborted_once_and_runs_it_no_second_time(
    stage: DrillStage, system: SmallSystem
) -> None:
    with RunnerProcess(stage.settings) as runner:
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK | {"after_s": 100})
        stage.reached("d1", "recovered")
        runner.end(signal.SIGKILL)
        killed = system.pids()
        for number in range(2):
            runner.start()
            stage.order(drill="worker-kill", drill_id=f"next-{number}", dry_run=True)
            stage.last(f"next-{number}")
            runner.end(signal.SIGKILL)
    last = stage.last("d1")
    assert (last.phase, last.verdict, last.injected, last.undone) == ("aborted", "aborted", "passed", "passed")
    assert "after the phase recovered" in (last.reason or "")
    assert stage.phases("d1").count("accepted") == 1
    assert system.pids() == killed


def test_sigterm_ends_the_running_drill_as_aborted_and_undone(stage: DrillStage, system: SmallSystem) -> None:
    with RunnerProcess(stage.settings) as runner:
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK | {"after_s": 100})
        stage.reached("d1", "recovered")
        runner.end(signal.SIGTERM)
        assert runner.process.returncode == 0
        last = stage.last("d1", within=1)
    assert (last.verdict, last.injected, last.undone) == ("aborted", "passed", "passed")


def test_a_second_runner_takes_over_and_the_first_one_ends(stage: DrillStage, system: SmallSystem) -> None:
    with RunnerProcess(stage.settings) as first:
        stage.order(drill="worker-kill", drill_id="d1", params={"before_s": 60})
        stage.reached("d1", "accepted")
        with RunnerProcess(stage.settings):
            assert stage.last("d1").phase == "aborted"
            stage.order(drill="worker-kill", drill_id="d2", dry_run=True)
            assert stage.last("d2").phase == "completed"
            assert first.process.poll() is None or first.process.returncode == 1


def test_the_command_line_runs_a_drill_and_reports_it(stage: DrillStage, system: SmallSystem, tmp_path: Path) -> None:
    prefix = stage.settings.kafka.topic_prefix
    environment = {**os.environ, "STANDFAST_KAFKA__TOPIC_PREFIX": prefix, "PYTHONFAULTHANDLER": "1"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "standfast", "drill", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    sets = [f"--set={key}={value}" for key, value in QUICK.items()]
    watched = tmp_path / "watched"
    command = [sys.executable, "-m", "standfast", "drill", "watch", "--json"]
    numbers = itertools.count()

    def is_watched() -> bool:
        stage.order(drill="no-such-drill", drill_id=f"refused-{next(numbers)}")
        return watched.stat().st_size > 0

    with (
        RunnerProcess(stage.settings),
        watched.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output) as watching,
    ):
        wait_until(is_watched, 30, every=0.3, what="a drill that is watched")
        finished = call("run", "worker-kill", "--target", "worker=search-1", "--json", *sets)
        wait_until(lambda: b'"completed"' in watched.read_bytes(), 30, what="its end, watched")
        watching.send_signal(signal.SIGINT)
        assert exit_code(watching, 30) == 130
    assert finished.returncode == 0, finished.stderr
    last = msgspec.json.decode(finished.stdout, type=DrillEvent)
    assert (last.verdict, last.phase) == ("passed", "completed")
    assert "steady_state" in finished.stderr
    events = [msgspec.json.decode(line, type=DrillEvent) for line in watched.read_bytes().splitlines()]
    assert [event.phase for event in events if event.drill_id == last.drill_id] == stage.phases(last.drill_id)
    again = call("watch", last.drill_id)
    assert again.returncode == 0
    assert again.stdout.count(last.drill_id) == len(stage.phases(last.drill_id)) + 1, "a line an event, and the verdict"
    assert call("compare", last.drill_id, last.drill_id).returncode == 0
    page = tmp_path / "drills.html"
    assert call("report", "--html", str(page)).returncode == 0
    assert last.drill_id in page.read_text()
    assert call("report", last.drill_id, "--html", str(page)).returncode == 0
    confirmed = call("verify", str(page))
    assert (confirmed.returncode, "computed anew" in confirmed.stdout) == (0, True)
    assert json.loads(call("report", last.drill_id, "--json").stdout)[0]["verdict"] == "passed"
    assert call("run", "worker-kill", "--set=rate=0").returncode == 64
    alone = call("run", "worker-kill", "--timeout", "1")
    assert alone.returncode == 2, "unknown"
    assert "no drill runner took" in alone.stderr


def test_a_drill_called_off_while_its_runner_stood_still_does_not_strike(
    stage: DrillStage, system: SmallSystem
) -> None:
    """When the runner goes on, the steady state is over; it must read the abort before it injects the fault."""
    before = system.pids()
    with RunnerProcess(stage.settings) as runner:
        stage.order(drill="worker-kill", drill_id="d1", params=QUICK)
        stage.reached("d1", "accepted")
        runner.process.send_signal(signal.SIGSTOP)
        stage.order(abort="d1")
        time.sleep(2 * QUICK["before_s"])
        runner.process.send_signal(signal.SIGCONT)
        last = stage.last("d1")
        assert (last.phase, last.injected) == ("aborted", None)
    assert system.pids() == before


def test_a_drill_run_that_is_given_up_or_interrupted_calls_it_off_and_says_so(
    stage: DrillStage, system: SmallSystem
) -> None:
    before = system.pids()
    environment = {**os.environ, "STANDFAST_KAFKA__TOPIC_PREFIX": stage.settings.kafka.topic_prefix}
    call = [
        sys.executable,
        "-m",
        "standfast",
        "drill",
        "run",
        "worker-kill",
        "--set=before_s=100",
        "--set=p99_ms=30000",
    ]

    def begun(*options: str) -> tuple[subprocess.Popen[str], str]:
        known = {outcome.event.drill_id for outcome in stage.outcomes()}
        process = subprocess.Popen([*call, *options], env=environment, stderr=subprocess.PIPE, text=True)

        def accepted() -> list[str]:
            return [outcome.event.drill_id for outcome in stage.outcomes() if outcome.event.drill_id not in known]

        return process, wait_until(accepted, 60, every=0.1, what="a drill that is accepted")[0]

    with RunnerProcess(stage.settings) as runner:
        for how, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (None, 2)):
            process, drill_id = begun(*(["--timeout=5"] if how is None else []))
            if how is not None:
                process.send_signal(how)
            _, stderr = process.communicate(timeout=60)
            assert process.returncode == code, stderr
            assert f"{drill_id} {'was interrupted' if how else 'had not ended after 5 s'}" in stderr
            assert "it was called off: aborted, nothing was injected" in stderr
            assert stage.last(drill_id).phase == "aborted"
        runner.process.send_signal(signal.SIGSTOP)
        silent = subprocess.run(
            [*call, "--timeout=1"], env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert "no drill runner took" in silent.stderr
        assert "it will not strike" in silent.stderr
        seen = len(stage.outcomes())
        runner.process.send_signal(signal.SIGCONT)
        wait_until(lambda: len(stage.outcomes()) == seen + 2, 30, every=0.1, what="both commands refused")
        assert [outcome.event.phase for outcome in stage.outcomes()[seen:]] == ["rejected", "rejected"]
    assert system.pids() == before


def test_a_second_fault_is_one_file_and_a_line_in_the_table(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAULTS, toy_fault.MARK.name, toy_fault.MARK)
    toy_fault.add_drills()
    before = system.pids()
    with runner_in_a_thread(stage.settings):
        stage.order(drill="toy-mark", drill_id="wrong", params={"last_s": 1})
        assert "toy-mark has no param 'last_s'; did you mean lasts_s?" in (stage.last("wrong").reason or "")
        stage.order(drill="toy-mark", drill_id="d1", params=QUICK | {"lasts_s": 0.5})
        stage.reached("d1", "injected")
        last = stage.last("d1")
    assert (last.verdict, last.injected, last.held, last.undone) == ("passed",) * 4, last
    assert stage.phases("d1") == [
        "accepted", "steady_state", "injected", "observing", "recovered", "rolled_back", "completed"
    ]  # fmt: skip
    history = kept("d1")
    assert history is not None
    (fault,) = history.faults
    assert fault.name == "mark"
    assert fault.ended is not None
    assert fault.ended > fault.at + 0.5
    assert not toy_fault.mark().exists()
    assert system.pids() == before


def test_a_drill_that_hangs_ends_its_runner_and_the_next_one_ends_the_drill(
    stage: DrillStage, system: SmallSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner went on beating, so its hang was not noticed, and it rejected every later drill as busy."""
    monkeypatch.setitem(FAULTS, toy_fault.MARK.name, toy_fault.MARK)
    toy_fault.add_drills()
    monkeypatch.setattr(runner_module, "_HANGS_AFTER_S", 1.0)
    hangs, undo = threading.Event(), OrderedFault.undo

    def hanging(fault: OrderedFault) -> None:
        hangs.wait()
        undo(fault)

    monkeypatch.setattr(OrderedFault, "undo", hanging)
    errors: list[DrillError] = []

    def run() -> None:
        try:
            runner_module.Runner(stage.settings, Codec(), threading.Event()).run()
        except DrillError as error:
            errors.append(error)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    with agent_in_a_thread(stage.settings):
        stage.order(drill="toy-mark", drill_id="d1", duration_s=4.0, params=QUICK)
        running.join(60)
    hangs.set()
    assert "d1 should have ended" in str(errors[0])
    with runner_in_a_thread(stage.settings):
        last = stage.last("d1")
        stage.order(drill="none", drill_id="d2")
        assert stage.last("d2").verdict == "rejected"
    assert (last.phase, last.verdict) == ("aborted", "aborted")
    assert system.pids()
