"""A host that is killed while it fetches a version, or while it sends one: the version comes, or the old one serves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.history import RequestHistory
from tests.support.toys.toy_versions import ToyHost
from tests.waiting import wait_until

_MEGABYTES = 60  # its fetch takes a good part of a second


@pytest.fixture
def hosts(broker: str, tmp_path: Path, unique: str) -> Iterator[tuple[ToyHost, ToyHost]]:
    made = [ToyHost(tmp_path / name, broker, f"fetched-{unique}.", name) for name in ("a", "b")]
    made[0].publish("one")
    try:
        made[0].start()
        made[0].told()
        made[1].start()
        made[1].serves("search@1")
        yield made[0], made[1]
    finally:
        for host in made:
            host.stop()


def is_fetching(folder: Path, since: int) -> bool:
    """Whether chunks of version 2 have come since then; what a killed fetch has left is older."""
    for path in folder.glob(".draft-placed-2/*.npy"):
        with suppress(FileNotFoundError):
            found = path.stat()
            if found.st_mtime_ns > since and found.st_size:
                return True
    return False


def test_a_follower_killed_in_the_middle_of_a_fetch_leaves_no_half_version_and_its_heir_fetches_it(
    hosts: tuple[ToyHost, ToyHost], unique: str
) -> None:
    first, second = hosts
    folder = second.home / "models" / "search"
    with RequestHistory(first.settings, unique) as history:
        first.publish("two", _MEGABYTES)
        for number in range(2):
            before = time.time_ns()
            wait_until(lambda: is_fetching(folder, before), 60, every=0.002, what=f"fetch {number}")  # noqa: B023
            killed = second.follower().pid
            second.kill(killed)
            assert not (folder / "2").exists() or (folder / "2" / "manifest.json").exists()
            history.load(20, 100)
            gone = {0, killed}
            wait_until(lambda: second.follower().pid not in gone, 60, what="a follower that follows")  # noqa: B023
        second.serves("search@2")
        first.serves("search@2")
        history.load(50, 100)
        history.exactly_once()
    second.models("verify")  # fails if a byte is wrong
    assert second.file(2) == {"mark": "two"}
    assert not [*folder.glob(".draft-placed*")]


def test_a_sender_killed_before_it_is_done_sends_again(hosts: tuple[ToyHost, ToyHost]) -> None:
    first, second = hosts
    first.publish("two", _MEGABYTES)
    wait_until(lambda: second.logged("no other host has sent"), 60, every=0.002, what="a host that waits")
    first.kill(first.follower().pid)
    second.serves("search@2")
    assert second.file(2) == {"mark": "two"}
