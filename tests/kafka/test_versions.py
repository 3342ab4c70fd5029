"""Two hosts on one Kafka serve the version that either of them is told to, and get it from each other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from standfast.caller import Caller
from tests.support.desk import Desk, TopicReader
from tests.support.toys.toy_versions import FOLLOWED_S, ToyHost, marks
from tests.waiting import wait_until

Hosts = tuple[ToyHost, ToyHost]


@pytest.fixture(scope="module")
def hosts(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Host a has trained a version; host b has nothing of its own and starts later."""
    folder = tmp_path_factory.mktemp("versions")
    made = [ToyHost(folder / name, broker, "versions.", name) for name in ("a", "b")]
    made[0].publish("one")
    try:
        made[0].start()
        made[0].told()
        made[1].start()
        yield made[0], made[1]
    finally:
        for host in made:
            host.stop()


def serve(hosts: Hosts, label: str) -> None:
    for host in hosts:
        host.serves(label)


def test_a_host_without_a_model_takes_the_systems_and_trains_none(hosts: Hosts) -> None:
    _, second = hosts
    serve(hosts, "search@1")
    assert second.file(1) == {"mark": "one"}
    assert not second.logged("training")
    with Caller(second.settings) as caller:
        assert marks(caller) == {"one"}


def test_what_is_activated_on_one_host_serves_on_all_and_is_rolled_back_from_another(hosts: Hosts) -> None:
    first, second = hosts
    first.publish("two", megabytes=3)
    serve(hosts, "search@2")
    with Caller(second.settings) as caller:
        assert marks(caller) == {"two"}
        assert "every host of the system follows" in second.models("rollback", "search")
        serve(hosts, "search@1")
        assert marks(caller) == {"one"}
    first.models("activate", "search@2")
    serve(hosts, "search@2")
    listed = second.models("list")
    assert "* search@2" in listed


def test_a_canary_that_begins_on_one_host_is_tried_on_all_and_ended_from_another(hosts: Hosts) -> None:
    first, second = hosts
    second.models("activate", "search@2")
    serve(hosts, "search@2")

    def tries(challenger: str) -> bool:
        return {service.challenger for host in hosts for service in host.status().services} == {challenger}

    assert "every host of the system follows" in first.models("activate", "search@1", "--canary", "50%")
    wait_until(lambda: tries("search@1"), FOLLOWED_S, what="a challenger on both hosts")
    with Caller(second.settings) as caller:
        wait_until(lambda: marks(caller, 40) == {"one", "two"}, FOLLOWED_S, what="answers of both versions")
        assert "search@2 is active" in second.models("rollback", "search")
        wait_until(lambda: tries(""), FOLLOWED_S, what="no challenger on both hosts")
        serve(hosts, "search@2")
        wait_until(lambda: marks(caller, 40) == {"two"}, FOLLOWED_S, what="answers of the champion alone")


def test_a_record_by_hand_is_followed_and_an_unreadable_one_is_passed_over_by_its_offset(hosts: Hosts) -> None:
    first, _ = hosts
    desk = Desk(first.settings)
    bad = [
        desk.send("models", value, key)[1]
        for key, value in ((b"search/champion", b"\xff\xfe"), (b"search/champion", b"search@1"), (b"?", b"{}"))
    ]
    desk.send("models", b'{"version": 1, "requested_by": "ada"}', b"search/champion")
    serve(hosts, "search@1")
    for host in hosts:
        lines = [line for line in host.log_file.read_text().splitlines() if "models is passed over" in line]
        assert {json.loads(line)["offset"] for line in lines} >= set(bad)


def test_when_nobody_lacks_anything_no_files_are_kept(hosts: Hosts) -> None:
    first, _ = hosts
    with TopicReader(first.settings, first.topic("models.files"), from_the_start=True) as reader:

        def kept() -> list[bytes]:
            reader.read(0.2)
            last = {message.key(): message.value() for message in reader.messages}
            return [key for key, value in last.items() if value is not None]

        wait_until(lambda: not kept(), FOLLOWED_S, what="a topic of files on which nothing is left")
        assert reader.messages, "files went through it"


def test_what_was_activated_while_no_system_ran_is_told_at_the_next_start(hosts: Hosts) -> None:
    _, second = hosts
    second.stop()
    printed = second.models("activate", "search@2")
    assert "every host" not in printed
    second.start()
    serve(hosts, "search@2")


def test_a_topic_that_is_gone_changes_nothing_and_one_that_is_made_anew_is_told_of(hosts: Hosts) -> None:
    first, second = hosts
    desk = Desk(first.settings)
    with Caller(second.settings) as caller:
        before = marks(caller)
        desk.delete("models")
        assert marks(caller) == before
    desk.create("models", 1, cleanup_policy="compact")
    with TopicReader(first.settings, first.topic("models"), from_the_start=True) as reader:
        reader.until(lambda message: message.key() == b"search/champion", FOLLOWED_S)
    serve(hosts, first.publish("of the new topic"))


def test_two_hosts_that_both_trained_a_first_version_are_not_confused(
    broker: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("both")
    first, second = (ToyHost(folder / name, broker, "both.", name) for name in ("a", "b"))
    try:
        first.publish("of a")
        first.start()
        first.told()
        second.publish("of b")
        second.start()
        wait_until(lambda: second.logged("was given another number"), FOLLOWED_S, what="a renumbered version")
        second.serves("search@1")
        assert second.file(1) == {"mark": "of a"}
        assert second.file(2) == {"mark": "of b"}
        second.models("activate", "search@2")
        first.serves("search@2")
        assert first.file(2) == {"mark": "of b"}
    finally:
        first.stop()
        second.stop()
