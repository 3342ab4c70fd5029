"""The intent of a drill: whatever is written is read again, and intents of other systems are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.service import service
from drills.control import reader
from drills.control.events import bounded
from drills.control.outcomes import Outcome
from drills.faults import FAULTS, controller, coordinator, freeze, leader
from drills.faults.injector import Aim, Process, Target
from drills.faults.kafka_fault import KafkaFault
from drills.faults.network import NetworkFault
from drills.faults.process_handle import ProcessHandle
from drills.faults.running_system import RunningSystem
from drills.running import intents, runner
from drills.running.intents import DrillKey, IntendedFault, Intent, decoded, encoded
from drills.running.leftovers import Leftovers, orphans
from schemas.codec import Codec, Encoding
from schemas.records import DrillEvent
from standfast.core import status
from standfast.core.errors import SetupError, Unreadable
from standfast.core.settings import KafkaSettings, Settings
from standfast.core.status import RoleStatus, SystemStatus, WorkerStatus
from tests.support.drill_stage import runner_in_a_thread
from tests.support.toys import toy_fault
from tests.waiting import wait_until

TOPIC = "x.drills.results"
SETTINGS = Settings(kafka=KafkaSettings(topic_prefix="x."))

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
whole = st.integers(-(2**63), 2**63 - 1)
values = whole | st.floats(allow_nan=False, allow_infinity=False) | texts
numbers = st.lists(st.integers(0, 2**31), max_size=5).map(tuple)
targets = st.builds(
    Target,
    what=texts,
    processes=st.lists(st.builds(Process, id=texts, pid=whole, started=whole), max_size=3).map(tuple),
    hit=st.lists(numbers, max_size=3).map(tuple),
    gone=numbers,
    standbys=whole,
)
aims = st.builds(
    Aim,
    target=st.dictionaries(texts, values | st.none() | st.booleans(), max_size=3),
    params=st.dictionaries(texts, values, max_size=3),
    seed=whole,
)
written = st.builds(
    Intent,
    whose=st.builds(DrillKey, topic=texts, drill_id=texts, command=texts | st.none()),
    service=texts,
    faults=st.lists(st.builds(IntendedFault, fault=texts, aim=aims, target=targets), max_size=3).map(tuple),
    machine=texts,
)


@given(written)
def test_what_is_written_is_read_again(intent: Intent) -> None:
    again = decoded(encoded(intent))
    assert again == intent
    assert encoded(again) == encoded(intent), "a whole number has not become a float"


@given(
    st.binary(max_size=60) | st.builds(lambda intent, at: encoded(intent).encode()[:at], written, st.integers(0, 80))
)
def test_anything_else_is_unreadable_and_never_an_error_of_another_kind(text: bytes) -> None:
    with pytest.raises(Unreadable):
        decoded(text)


def an_intent(drill_id: str = "d1", topic: str = TOPIC, **fields: Any) -> Intent:
    target = fields.pop("target", Target("mark", (), ((0, 1),)))
    aim = fields.pop("aim", toy_fault.MARK.aim())
    faults = (IntendedFault(fields.pop("fault", "mark"), aim, target),)
    made = Intent(DrillKey(topic, drill_id, None), "search", faults, intents.machine())
    return replace(made, **fields)


def files() -> list[str]:
    return sorted(path.name for path in intents._folder().iterdir())


def test_a_file_is_there_until_it_is_forgotten_and_another_systems_is_left_alone(state: Path) -> None:
    ours, foreign = an_intent(), an_intent(topic="y.drills.results")
    intents.keep(ours)
    intents.keep(foreign)
    assert intents.kept(TOPIC) == [ours]
    assert intents.is_kept(ours.whose)
    intents.forget(ours.whose)
    intents.forget(ours.whose)
    assert intents.kept(TOPIC) == []
    assert intents.kept("y.drills.results") == [foreign]


def test_two_drills_of_one_id_have_a_file_each(state: Path) -> None:
    """Drills without an id are named after partition and offset, so a recreated drills.control repeats their ids."""
    first, second = an_intent(), an_intent(whose=DrillKey(TOPIC, "d1", "drills.control-0-0@second"))
    intents.keep(first)
    intents.keep(second)
    intents.forget(second.whose)
    assert intents.kept(TOPIC) == [first]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda good: good[:-1],
        lambda good: good.replace(b'"version":2', b'"version":3'),
        lambda good: good.replace(b'"drill_id":"d1"', b'"drill_id":"d2"'),
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
    ],
    ids=["empty", "cut", "later", "foreign name", "no text", "deep"],
)
def test_what_cannot_be_read_is_moved_aside_once(state: Path, damage: Any) -> None:
    intents.keep(an_intent())
    (name,) = files()
    path = intents._folder() / name
    path.write_bytes(damage(path.read_bytes()))
    assert intents.kept(TOPIC) == []
    assert files() == [f"{name}.unreadable"]
    assert intents.kept(TOPIC) == []


def test_where_there_can_be_no_folder_nothing_is_read_and_nothing_ends(state: Path) -> None:
    intents._folder().rmdir()
    (state / "drills" / "intents").write_bytes(b"")
    assert intents.kept(TOPIC) == []
    assert not intents.is_kept(an_intent().whose)
    intents.forget(an_intent().whose)
    with pytest.raises(SetupError):
        intents.keep(an_intent())


def test_the_event_carries_it_in_every_encoding_and_one_that_is_too_long_is_no_half_of_one() -> None:
    text = encoded(an_intent())
    event = DrillEvent(drill_id="d1", drill="toy-mark", phase="steady_state", at=1, intent=text)
    for encoding in (Encoding.JSON, Encoding.AVRO):
        again, _ = Codec().decode(Codec().encode(event, encoding), DrillEvent)
        assert bounded(again).intent == text
    long = DrillEvent(drill_id="d1", drill="toy-mark", phase="steady_state", at=1, intent="x" * 200_000)
    assert bounded(long).intent is None


# What is undone from an intent --------------------------------------------------------------------------------------


class ForeignSystem:
    """A running system that this process did not start and may not restart."""

    def __init__(self, running: SystemStatus) -> None:
        self.running = running

    def status(self) -> SystemStatus:
        return self.running

    def pids(self) -> frozenset[int]:
        return frozenset(worker.pid for worker in self.running.workers)

    def kill(self) -> float:
        raise AssertionError

    def start(self) -> None:
        raise AssertionError

    def model_loaded(self) -> float:
        raise AssertionError


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    made = [subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) for _ in range(5)]
    yield made
    for sleeper in made:
        sleeper.kill()
        sleeper.wait()


@pytest.fixture
def system(sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    """A system whose two workers, standby, broker and supervisor are sleeping processes."""
    first, second, standby, broker, supervisor = (sleeper.pid for sleeper in sleepers)
    group, requests = "x.standfast-search", "x.search.requests"

    def worker(name: str, pid: int, owned: list[int]) -> WorkerStatus:
        return WorkerStatus(
            id=name, pid=pid, service="search", group=group, role="active", state="serving",
            partitions={requests: owned},
        )  # fmt: skip

    running = SystemStatus(
        state="ready",
        at=0,
        supervisor_pid=supervisor,
        bootstrap_servers="",
        metrics_url="",
        workers=[
            worker("search-0", first, [0, 1]),
            worker("search-1", second, [2]),
            WorkerStatus(id="", pid=standby, service="search", group=group, role="standby", state="ready"),
        ],
        roles=[RoleStatus(id=f"kafka-{number}", pid=broker, state="running") for number in (1, 2, 3)],
    )
    monkeypatch.setattr(status, "read", lambda: running)
    monkeypatch.setattr(leader.KillLeader, "victim", lambda _: 1)
    monkeypatch.setattr(controller.KillController, "victim", lambda _: 1)
    monkeypatch.setattr(coordinator.KillCoordinator, "victim", lambda _: 1)
    monkeypatch.setattr(freeze.FreezeBroker, "victim", lambda _: 1)
    return RunningSystem(SETTINGS, service("search", SETTINGS), ForeignSystem(running))


# Those on topics and groups, which strike no process and have to ask Kafka: `tests/faults/test_kafka_faults.py`.
ON_KAFKA = {name for name, kind in FAULTS.items() if issubclass(cast("type", kind.make), KafkaFault)}
# Those of the network, of which the proxy has to be asked: `tests/unit/drills/test_network_faults.py`.
ON_NETWORK = {name for name, kind in FAULTS.items() if issubclass(cast("type", kind.make), NetworkFault)}


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - ON_KAFKA - ON_NETWORK - {"broker-below-min-isr"}))
def test_every_fault_is_resumed_from_what_was_written(
    state: Path, system: RunningSystem, sleepers: list[subprocess.Popen[bytes]], name: str
) -> None:
    kind = FAULTS[name]
    aim = kind.aim()
    with closing(kind.make(system, aim)) as chosen:
        target = chosen.choose()
    assert target.processes
    intents.keep(an_intent(fault=name, aim=aim, target=target))
    (kept,) = intents.kept(TOPIC)
    (again,) = kept.faults
    assert (again.fault, again.target, again.aim) == (name, target, aim)
    with closing(kind.make(system, again.aim)) as resumed:
        struck = resumed.resume(again.target)
        resumed.undo()
        if target.what != "broker":  # for a broker, `undone` would ask Kafka
            assert resumed.undone().check == "passed", "no process was struck, so nothing is left"
    assert struck.check == ("unknown" if name in {"hang", "broker-freeze"} else "failed")
    for sleeper in sleepers:
        sleeper.kill()
        sleeper.wait()
    with closing(kind.make(system, again.aim)) as resumed:
        assert resumed.resume(again.target).check == "unknown"


def test_a_process_that_has_the_pid_and_not_the_start_time_is_not_touched(
    system: RunningSystem, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    kind, pid = FAULTS["hang"], sleepers[0].pid
    with closing(kind.make(system, kind.aim({"worker": "search-0"}))) as chosen:
        target = chosen.choose()
    os.kill(pid, signal.SIGSTOP)
    with closing(ProcessHandle("search-0", pid)) as held:
        wait_until(held.is_stopped, what="it stands still")
        (process,) = target.processes
        other = replace(target, processes=(replace(process, started=process.started - 1),))
        for written_target, is_woken in ((other, False), (target, True)):
            with closing(kind.make(system, kind.aim())) as resumed:
                assert resumed.resume(written_target).check == ("passed" if is_woken else "unknown")
                resumed.undo()
                if is_woken:
                    wait_until(lambda: not held.is_stopped(), what="it is woken")
                    assert resumed.undone().check == "passed"
                else:
                    assert held.is_stopped()


def outcome(phase: str, **fields: Any) -> Outcome:
    event = DrillEvent(drill_id="d1", drill="toy-mark", phase=phase, at=1, **fields)  # type: ignore[arg-type]
    return Outcome(event, Encoding.JSON)


@pytest.fixture
def leftovers(state: Path, monkeypatch: pytest.MonkeyPatch) -> Leftovers:
    monkeypatch.setitem(FAULTS, toy_fault.MARK.name, toy_fault.MARK)
    return Leftovers(SETTINGS, TOPIC, lambda: True)


def ending(leftovers: Leftovers, *outcomes: Outcome) -> DrillEvent:
    (orphan,) = orphans(outcomes)
    return leftovers.ended(orphan)


def test_a_drill_whose_runner_died_before_the_intent_has_injected_nothing(leftovers: Leftovers) -> None:
    last = ending(leftovers, outcome("accepted"))
    assert (last.phase, last.verdict, last.injected, last.undone) == ("aborted", "aborted", None, None)
    assert "after the phase accepted; nothing was injected" in (last.reason or "")


def test_a_fault_that_is_told_of_is_taken_away_and_the_end_says_so(leftovers: Leftovers) -> None:
    toy_fault.mark().touch()
    text = encoded(an_intent())
    last = ending(leftovers, outcome("accepted"), outcome("steady_state", intent=text))
    assert not toy_fault.mark().exists()
    assert (last.injected, last.undone) == ("passed", "passed")
    assert len(last.findings or ()) == 2


def test_a_fault_of_another_machine_is_left_to_the_runner_there(leftovers: Leftovers) -> None:
    toy_fault.mark().touch()
    text = encoded(an_intent(machine="another"))
    last = ending(
        leftovers, outcome("accepted"), outcome("steady_state", intent=text), outcome("injected", injected="passed")
    )
    assert toy_fault.mark().exists()
    assert (last.injected, last.undone) == ("passed", "unknown")
    assert "another machine" in " ".join(last.findings or ())


def test_after_a_reboot_the_file_still_counts(leftovers: Leftovers) -> None:
    toy_fault.mark().touch()
    intents.keep(an_intent(machine="this one, before"))
    assert ending(leftovers, outcome("accepted")).undone == "passed"
    assert not toy_fault.mark().exists()


@pytest.mark.parametrize("intent", ["{", "null", '{"fault": "mark"}'])
def test_an_intent_in_the_stream_that_is_none_leaves_it_unknown(leftovers: Leftovers, intent: str) -> None:
    last = ending(leftovers, outcome("accepted"), outcome("steady_state", intent=intent))
    assert (last.injected, last.undone) == ("unknown", "unknown")


def test_the_intent_of_another_drill_is_not_this_drills(leftovers: Leftovers) -> None:
    toy_fault.mark().touch()
    foreign = encoded(an_intent(topic="y.drills.results"))
    assert ending(leftovers, outcome("accepted"), outcome("steady_state", intent=foreign)).undone == "unknown"
    assert toy_fault.mark().exists()


@pytest.mark.parametrize(
    "fields",
    [{"fault": "of-a-later-version"}, {"service": "gone"}, {"aim": Aim(params={"no_such": 1})}],
    ids=["fault", "service", "parameter"],
)
def test_what_this_version_cannot_undo_is_said_and_moved_aside(leftovers: Leftovers, fields: dict[str, Any]) -> None:
    intents.keep(an_intent(**fields))
    leftovers.undo()
    (name,) = files()
    assert name.endswith(".unreadable")
    text = encoded(an_intent(**fields))
    last = ending(leftovers, outcome("accepted"), outcome("steady_state", intent=text))
    assert (last.injected, last.undone) == ("unknown", "unknown")
    assert "this runner cannot undo the fault" in " ".join(last.findings or ())


def test_what_stays_is_undone_when_its_drill_has_ended_and_what_cannot_be_undone_is_kept(
    leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    intents.keep(an_intent())
    with monkeypatch.context() as patched:
        patched.setattr(toy_fault.Mark, "undo", broken)
        leftovers.undo()
        leftovers.forget()
        assert len(files()) == 1
    leftovers.forget()
    assert files() == []


def broken(_fault: toy_fault.Mark) -> None:
    raise RuntimeError("no")


def test_what_the_file_tells_of_is_undone_before_kafka_answers(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Kafka itself was struck, it does not answer until the fault is undone."""
    monkeypatch.setitem(FAULTS, toy_fault.MARK.name, toy_fault.MARK)
    monkeypatch.setattr(runner, "_STOP_WITHIN_S", 0.1)
    monkeypatch.setattr(reader, "_TIMEOUT_S", 0.5)
    toy_fault.mark().touch()
    intents.keep(an_intent("d1", "drills.results"))
    with runner_in_a_thread(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))):
        wait_until(lambda: not toy_fault.mark().exists(), what="the undo")
    assert len(files()) == 1, "its last event is still to be written"
