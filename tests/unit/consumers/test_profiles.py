"""The profile store: what a reader finds in it, and what it returns if the store is incomplete or damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from consumers.following import bulletin
from consumers.profiles.follower import Follower
from consumers.profiles.rows import packed, unpacked
from consumers.profiles.store import Change, Store, opened
from consumers.requests.histories import Known, ProfileHistories
from schemas.records import Profile, Seen
from standfast.core.consumed import Consumed
from standfast.core.errors import SchemaError
from standfast.core.topics.topic_file import damaged, remove
from tests.waiting import wait_until

_LIMIT = 64 << 20
_UNKNOWN = Known((), complete=False)


def profile(user: str, *items: str, at: int = 1000, earlier: tuple[str, ...] = ()) -> Profile:
    """A profile with items one second apart, from `at` (ms) on."""
    seen = [Seen(item_id=item, event="view", timestamp=at + 1000 * n) for n, item in enumerate(items)]
    return Profile(user_id=user, items=seen, earlier=dict.fromkeys(earlier, 1), updated_at=at)


def change(user: str, *items: str, partition: int = 0, at: int = 1000, earlier: tuple[str, ...] = ()) -> Change:
    return Change(partition, user, profile(user, *items, at=at, earlier=earlier))


def tell(store: Store, *, complete: bool = True, at: int | None = None) -> None:
    now = time.time_ns() // 1_000_000
    bulletin.write(store.path.parent, bulletin.Bulletin(store.path.name, complete, now if at is None else at))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = opened(tmp_path, "one", _LIMIT)
    yield made
    made.close()


@pytest.fixture
def histories(tmp_path: Path) -> Iterator[ProfileHistories]:
    made = ProfileHistories(tmp_path)
    yield made
    made.close()


@given(st.lists(st.text(max_size=3), max_size=30), st.lists(st.text(max_size=3), max_size=30))
def test_a_row_holds_the_earlier_and_then_the_recent_items(earlier: list[str], recent: list[str]) -> None:
    numbers: dict[str, int] = {}
    row = packed(
        profile("u", *recent, earlier=tuple(earlier)), lambda item: numbers.setdefault(item, len(numbers) + 2**31)
    )
    names = {number: item for item, number in numbers.items()}
    assert [names[number] for number in unpacked([row])] == [*dict.fromkeys(earlier), *recent]


@given(st.binary(max_size=40))
def test_what_is_no_row_is_an_error_or_a_list_but_never_more(data: bytes) -> None:
    try:
        items = unpacked([data])
    except ValueError:
        return
    assert all(isinstance(item, int) for item in items)


def test_a_row_takes_ten_bytes_an_item() -> None:
    assert len(packed(profile("u", *"abcdefghij"), ord)) == 4 + 10 * 10


def test_what_was_written_is_read_and_what_was_deleted_is_gone(store: Store, histories: ProfileHistories) -> None:
    store.write([change("u7", "b", "c", earlier=("a",)), change("u8", "d")], {0: 7})
    tell(store)
    histories.start()
    assert histories.known("u7") == Known(("a", "b", "c"), complete=True)
    assert histories.known("nobody") == Known((), complete=True)
    store.write([Change(0, "u7", None), change("u8", "d", "e")], {0: 9})
    assert histories.known("u7") == Known((), complete=True)
    assert histories.known("u8").items == ("d", "e")
    assert store.positions == {0: 9}


def test_profiles_of_one_user_in_two_partitions_are_merged_by_time(store: Store, histories: ProfileHistories) -> None:
    store.write([change("u", "a", "d", earlier=("x",), at=1000), change("u", "b", "c", partition=1, at=1400)], {0: 1})
    tell(store)
    histories.start()
    assert histories.known("u").items == ("x", "a", "b", "d", "c")
    store.write([Change(0, "u", None)], {0: 2})
    assert histories.known("u").items == ("b", "c")


def test_until_it_is_complete_and_when_nobody_follows_answers_say_so(store: Store, histories: ProfileHistories) -> None:
    histories.start()
    assert histories.known("u") == _UNKNOWN, "there is no bulletin yet"
    store.write([change("u", "a")], {0: 1})
    tell(store, complete=False)
    wait_until(lambda: histories.known("u").items, what="the part that is there")
    assert histories.known("u") == Known(("a",), complete=False)
    assert histories.known("nobody") == _UNKNOWN
    tell(store)
    wait_until(lambda: histories.known("u").complete, what="completeness")
    tell(store, at=int(time.time() * 1000) - 60_000)
    wait_until(lambda: not histories.known("u").complete, what="a follower that is gone to be noticed")
    assert histories.known("u").items == ("a",), "the profiles that are there are used"


def test_another_topics_store_is_read_in_place_of_the_first(
    store: Store, histories: ProfileHistories, tmp_path: Path
) -> None:
    store.write([change("u", "a")], {0: 1})
    tell(store)
    histories.start()
    assert histories.known("u").items == ("a",)
    other = opened(tmp_path, "two", _LIMIT)
    assert not store.path.exists(), "the users of another topic are not kept"
    other.write([change("v", "b")], {0: 1})
    tell(other)
    wait_until(lambda: histories.known("v").items, what="the other store")
    assert histories.known("u") == Known((), complete=True)
    other.close()


def test_the_same_topic_goes_on_where_it_was(store: Store, tmp_path: Path) -> None:
    store.write([change("u", "a")], {0: 5, 3: 8})
    store.close()
    again = opened(tmp_path, "one", _LIMIT)
    assert (again.path, again.positions, again.size) == (store.path, {0: 5, 3: 8}, 1)
    again.close()


def test_who_did_not_look_for_deletions_in_time_begins_anew(store: Store, tmp_path: Path) -> None:
    store.write([change("u", "a")], {0: 5})
    store.close()
    half_a_day = time.time() - 13 * 3600
    os.utime(store.path, (half_a_day, half_a_day))
    again = opened(tmp_path, "one", _LIMIT)
    assert (again.positions, again.size) == ({}, 0)
    assert not store.path.exists()
    again.close()


@pytest.mark.parametrize("how", ["garbage", "emptied", "cut", "garbled"])
def test_a_damaged_store_costs_no_answer_and_is_begun_anew(how: str, store: Store, tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(2000)]
    store.write([change(user, *"abcdefgh") for user in users], {0: 1})
    store.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        if how == "garbage":
            file.write(os.urandom(size))
        elif how == "garbled":
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        else:
            file.truncate(0 if how == "emptied" else size // 2)
    tell(store)
    histories = ProfileHistories(tmp_path)
    histories.start()
    known = [histories.known(user) for user in users]
    assert _UNKNOWN in known
    assert known[-1] == _UNKNOWN, "a damaged store is given up"
    assert damaged(store.path).exists(), "and the follower sees it"
    histories.close()
    again = opened(tmp_path, "one", _LIMIT)
    assert (again.positions, again.size) == ({}, 0)
    assert not damaged(store.path).exists()
    again.close()


def test_a_store_that_is_deleted_under_its_readers_is_still_read(store: Store, histories: ProfileHistories) -> None:
    store.write([change("u", "a")], {0: 1})
    tell(store)
    histories.start()
    assert histories.known("u").items == ("a",)
    assert store.touch()
    remove(store.path.parent, but=[])
    assert histories.known("u").items == ("a",)
    assert not store.touch(), "its follower sees that it must start again"


def test_a_full_store_keeps_what_it_has_and_its_place(tmp_path: Path, histories: ProfileHistories) -> None:
    store = opened(tmp_path, "one", 1 << 20)
    store.write([change("u", "a")], {0: 1})
    tell(store)
    histories.start()
    many = [change(f"u{n}", *(f"item-{n}-{m}" for m in range(20))) for n in range(3000)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.write(many, {0: 3001})
    assert (store.positions, store.size) == ({0: 1}, 1)
    assert histories.known("u") == Known(("a",), complete=True)
    store.write([change("u", "a", "b")], {0: 2})
    assert histories.known("u").items == ("a", "b"), "with room again it goes on"
    store.close()


def test_items_beyond_those_kept_in_memory_are_found_too(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.requests.histories._IDS", 4)
    store.write([change("u", *"abcdefgh"), change("v", "a", "h")], {0: 1})
    tell(store)
    reader = ProfileHistories(tmp_path)
    reader.start()
    assert reader.known("u").items == tuple("abcdefgh")
    assert reader.known("v").items == ("a", "h")
    store.write([change("w", "new")], {0: 2})
    assert reader.known("w").items == ("new",), "an item that came since is found before it is in memory"
    reader.close()


_WRITER = """
import sys
from itertools import count
from pathlib import Path
from consumers.profiles.store import Change, opened
from schemas.records import Profile, Seen
store = opened(Path(sys.argv[1]), "one", 64 << 20)
for at in count(store.positions.get(0, 0)):
    seen = [Seen(item_id=f"i{at}", event="view", timestamp=at)]
    users = [f"u{n}" for n in range(20)]
    store.write([Change(0, user, Profile(user_id=user, items=seen, updated_at=at)) for user in users], {0: at + 1})
    print(at, flush=True)
"""


def test_a_writer_that_is_killed_at_any_moment_has_written_all_of_a_batch_or_nothing(tmp_path: Path) -> None:
    reader = ProfileHistories(tmp_path)
    for run in range(3):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        numbers = [int(writer.stdout.readline()) for _ in range(20 + 7 * run)]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        numbers += [int(line) for line in writer.stdout]
        writer.stdout.close()
        store = opened(tmp_path, "one", _LIMIT)
        position = store.positions[0]
        assert position >= numbers[-1] + 1
        tell(store)
        if not run:
            reader.start()
        assert {reader.known(f"u{n}").items for n in range(20)} == {(f"i{position - 1}",)}
        store.close()
    reader.close()


def test_readers_find_whole_profiles_while_they_are_written(store: Store, histories: ProfileHistories) -> None:
    store.write([change(f"u{n}", "0") for n in range(50)], {0: 0})
    tell(store)
    histories.start()
    numbers = count(1)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        now = next(numbers)
        store.write([change(f"u{n}", str(now)) for n in range(50)], {0: now})
        assert {histories.known(f"u{n}").items for n in range(50)} == {(str(now),)}


@pytest.mark.parametrize("error", [ValueError("of a library"), SchemaError("no profile")])
def test_a_record_that_breaks_its_decoder_is_passed_over_and_told_of(error: Exception) -> None:
    """Whatever a codec raises: the follower ended with it, and met the same record when it was started again."""

    def decode(*_: object) -> None:
        raise error

    follower: Any = Follower.__new__(Follower)
    follower._codec = SimpleNamespace(decode=decode)
    message = cast(Consumed, SimpleNamespace(value=lambda: b"x", offset=lambda: 7))
    with structlog.testing.capture_logs() as lines:
        assert follower._change(3, message) is None
    (line,) = lines
    assert (line["event"], line["partition"], line["offset"]) == ("a profile cannot be read", 3, 7)
    assert str(error) in line["error"]
