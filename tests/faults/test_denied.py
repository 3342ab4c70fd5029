"""The right to read the request topic taken away, on a Kafka with an authorizer: seen, told, undone, held against."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ResourcePatternType

from consumers.service import service
from drills.faults.denied import DENIED
from drills.faults.injector import Injector
from drills.faults.running_system import RunningSystem
from standfast.core.errors import DrillRejected
from standfast.core.settings import KafkaSettings, Settings
from standfast.kafka.cluster import Cluster
from tests.support.drill_stage import DrillStage, runner_in_a_thread
from tests.support.healing import aimed, healed, struck_system
from tests.support.injecting import injected_by_the_killed
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
NAME = "kafka-denied"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    folder = tmp_path_factory.mktemp("denied")
    with Cluster(1, folder / "kafka", authorizer=True) as guarded:
        made = Toys(folder / "home", guarded.bootstrap_servers, "", ("search",))
        made.start()
        yield made
        made.stop()


@pytest.fixture
def system(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> RunningSystem:
    return struck_system(toys, monkeypatch)


@pytest.fixture
def injector(system: RunningSystem) -> Iterator[Injector]:
    with closing(DENIED.make(system, aimed(NAME))) as made:
        made.choose()
        yield made
        healed(made)


def test_rights_that_were_not_taken_away_are_not_seen_to_be(
    injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "strike", lambda: None)
    injector.inject()
    told = injector.injected(0.5)
    assert (told.check, "no ACL denies User:* READ" in told.text) == ("failed", True)
    assert injector.undone().check == "passed", "nothing was done, so nothing is left"


def test_a_rule_that_turns_nobody_away_is_not_taken_for_the_fault(
    injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector.inject()
    monkeypatch.setattr(injector, "_is_fetch_refused", lambda: False)
    assert injector.injected(0.5).check == "failed"


def test_an_undo_that_does_nothing_is_seen_and_a_second_drill_is_rejected(
    injector: Injector, system: RunningSystem
) -> None:
    injector.inject()
    assert injector.injected(10).check == "passed"
    told = injector.undone()
    assert (told.check, told.text) == ("failed", "2 of the drill's ACLs on search.requests are left")
    with closing(DENIED.make(system, aimed(NAME))) as second, pytest.raises(DrillRejected, match="already"):
        second.choose()


def test_rules_that_were_there_before_stay_and_nothing_is_allowed_beside_them(
    toys: Toys, system: RunningSystem
) -> None:
    allow = f"acls --bootstrap-server {toys.settings.kafka.bootstrap_servers} --topic search. "
    prefixed = [*allow.split(), "--resource-pattern-type", "prefixed", "--allow-principal", "User:*", "--force"]
    kafka = [sys.executable, "-m", "standfast", "kafka"]
    subprocess.run([*kafka, *prefixed, "--add"], check=True, env=toys._environment, capture_output=True)
    try:
        with closing(DENIED.make(system, aimed(NAME))) as injector:
            assert injector.choose().before["acls"] == 1
            injector.inject()
            assert injector.injected(10).check == "passed"
            assert injector.undone().text == "1 of the drill's ACLs on search.requests are left"
            healed(injector)
            assert len(injector._acls(ResourcePatternType.MATCH)) == 1  # type: ignore[attr-defined]
    finally:
        subprocess.run([*kafka, *prefixed, "--remove"], check=True, env=toys._environment, capture_output=True)


def test_another_process_undoes_it_when_the_first_one_was_killed(toys: Toys, system: RunningSystem) -> None:
    wanted = aimed(NAME)
    target = injected_by_the_killed(NAME, wanted, toys._environment)
    with closing(DENIED.make(system, wanted)) as injector:
        assert injector.resume(target).check == "passed"
        healed(injector)


def test_a_kafka_without_an_authorizer_is_named_with_the_remedy(broker: str) -> None:
    plain = Settings(kafka=KafkaSettings(bootstrap_servers=broker))
    with (
        closing(DENIED.make(RunningSystem(plain, service("search", plain)), aimed(NAME))) as injector,
        pytest.raises(DrillRejected, match="start the system with STANDFAST_DRILLS__AUTHORIZER=true"),
    ):
        injector.before()  # type: ignore[attr-defined]


def test_workers_wait_say_so_and_answer_when_the_right_is_back(toys: Toys, injector: Injector) -> None:
    before = {row.id: row.pid for row in toys.active()}
    injector.inject()
    assert injector.injected(10).check == "passed"

    def waiting() -> bool:
        texts = [row.waiting for row in toys.active()]
        return all("was not allowed to read search.requests" in text for text in texts)

    wait_until(waiting, 30, every=0.1, what="workers that say what they wait for")
    healed(injector)
    producer = Producer({"bootstrap.servers": toys.settings.kafka.bootstrap_servers})
    for partition in range(4):
        producer.produce("search.requests", b'{"request_id": "r", "query": "lamp"}', partition=partition)
    assert producer.flush(30) == 0
    wait_until(lambda: not any(row.waiting for row in toys.active()), 30, every=0.1, what="workers that read again")
    assert {row.id: row.pid for row in toys.active()} == before


def test_a_bulk_topic_that_may_not_be_read_is_told_too(toys: Toys) -> None:
    bulk = "search.requests.bulk"
    acls = ["kafka", "acls", "--bootstrap-server", toys.settings.kafka.bootstrap_servers, "--topic", bulk, "--force"]
    rules = (["--deny-principal", "User:*", "--operation", "Read"], ["--allow-principal", "User:*"])

    def change(how: str) -> None:
        for rule in rules:
            command = [sys.executable, "-m", "standfast", *acls, *rule, how]
            subprocess.run(command, check=True, env=toys._environment, capture_output=True)

    change("--add")
    try:
        said = f"was not allowed to read {bulk} at"
        wait_until(lambda: all(said in row.waiting for row in toys.active()), 60, every=0.1, what="workers that say so")
    finally:
        change("--remove")
    producer = Producer({"bootstrap.servers": toys.settings.kafka.bootstrap_servers})
    for partition in range(4):
        producer.produce(bulk, b'{"request_id": "b", "query": "lamp"}', partition=partition)
    assert producer.flush(30) == 0
    wait_until(lambda: not any(row.waiting for row in toys.active()), 60, every=0.1, what="workers that read again")


def test_the_system_holds(toys: Toys, system: RunningSystem) -> None:
    with runner_in_a_thread(toys.settings), closing(DrillStage(toys.settings)) as stage:
        quick = {"before_s": 2.0, "after_s": 3.0, "rate": 50.0, "p99_ms": 60_000.0, "rto_ms": 60_000.0}
        quick["recover_within_s"] = 90.0
        last = stage.verdict(NAME, quick)
    assert (last.verdict, last.lost, last.duplicated) == ("passed", 0, 0), (last.reason, last.findings)
