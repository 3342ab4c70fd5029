"""Which records are suspected of killing workers, and how long a process that keeps dying waits for its next start."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.serving.suspects import KnownSuspects, Suspects, record_at
from standfast.core import backoff
from standfast.core.backoff import Backoff

Records = list[tuple[int, int]]


TOPICS = ("search.requests", "search.requests.bulk")


def kept(path: Path, **ids: str) -> Suspects:
    """The suspects in the file, once the ids of both topics are known."""
    made = Suspects(path, TOPICS)
    made.identify(TOPICS[0], ids.get("requests", "id-1"))
    made.identify(TOPICS[1], ids.get("bulk", "id-2"))
    return made


def test_nothing_is_suspected_at_first(tmp_path: Path) -> None:
    assert kept(tmp_path / "suspects.json").read() == {}


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5, unique=True), max_size=6))
def test_every_death_is_counted(tmp_path_factory: pytest.TempPathFactory, deaths: list[Records]) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.json"
    path.unlink(missing_ok=True)
    for computing in deaths:
        suspects = kept(path)
        suspects.blame(computing)
        suspects.save()
    assert kept(path).read() == Counter(record for computing in deaths for record in computing)


def test_the_file_does_not_grow_for_ever_and_keeps_the_newest(tmp_path: Path) -> None:
    suspects = kept(tmp_path / "suspects.json")
    suspects.blame((0, offset) for offset in range(5000))
    suspects.blame([(0, 4999), (1, 1)])
    suspects.save()
    deaths = kept(tmp_path / "suspects.json").read()
    assert len(deaths) == 4096
    assert (deaths[0, 4999], deaths[1, 1]) == (2, 1)


@pytest.mark.parametrize("content", [b"", b"[[0,", b"\xff\x00", b"[[0, 1, 1]]", b"{}"])
def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "suspects.json"
    path.write_bytes(content)
    suspects = kept(path)
    assert suspects.read() == {}
    assert (tmp_path / "suspects.json.unreadable").read_bytes() == content
    suspects.blame([(0, 1)])
    suspects.save()
    assert kept(path).read() == {(0, 1): 1}


def test_a_folder_in_its_place_is_moved_aside_too(tmp_path: Path) -> None:
    (tmp_path / "suspects.json").mkdir()
    assert kept(tmp_path / "suspects.json").read() == {}
    assert (tmp_path / "suspects.json.unreadable").is_dir()


def test_who_cannot_save_knows_all_the_same(tmp_path: Path) -> None:
    suspects = kept(tmp_path / "away" / "suspects.json")
    suspects.blame([(0, 1)])
    suspects.save()
    assert suspects.read() == {(0, 1): 1}


def test_the_records_of_another_topic_of_that_name_are_not_suspected(tmp_path: Path) -> None:
    path = tmp_path / "suspects.json"
    suspects = kept(path)
    suspects.blame([(0, 1), (0, 1)])
    suspects.save()
    assert kept(path, requests="id-3").read() == {}, "another prefix or cluster, or made again while nobody looked"
    assert suspects.identify(TOPICS[0], "id-3"), "made again while the system runs"
    assert suspects.read() == {}


def test_who_was_blamed_before_kafka_said_the_id_is_found_again(tmp_path: Path) -> None:
    suspects = Suspects(tmp_path / "suspects.json", TOPICS)
    suspects.blame([(0, 1)])
    assert suspects.read() == {(0, 1): 1}
    suspects.identify(TOPICS[0], "id-1")
    assert suspects.read() == {(0, 1): 1}
    suspects.save()
    assert kept(tmp_path / "suspects.json").read() == {(0, 1): 1}


def test_what_is_committed_is_not_suspected_any_more() -> None:
    suspects = KnownSuspects()
    bulk = record_at(TOPICS[1], 0, 5)
    suspects.deaths = {(0, 5): 1, (0, 7): 1, (1, 5): 2, bulk: 1}
    assert suspects.committed({(TOPICS[0], 0): 6, (TOPICS[0], 2): 99}) == [(0, 5)]
    assert suspects.committed({(TOPICS[1], 0): 6}) == [bulk]
    assert dict(suspects.deaths) == {(0, 7): 1, (1, 5): 2}


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(backoff, "time", made)
    return made


def test_single_deaths_cost_nothing(clock: Clock) -> None:
    waits = Backoff(deaths=5, within_s=30)
    for _ in range(20):
        assert waits.after_death() == 0
        assert not waits.is_waiting
        clock.now += 8


def test_a_crash_loop_waits_longer_each_time_but_not_for_ever(clock: Clock) -> None:
    waits = Backoff(deaths=3, within_s=60)
    delays = []
    for _ in range(10):
        delays.append(waits.after_death())
        clock.now += delays[-1]
    assert delays == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_it_says_while_it_waits(clock: Clock) -> None:
    waits = Backoff(deaths=1, within_s=60)
    delay = waits.after_death()
    assert waits.is_waiting
    clock.now += delay
    assert not waits.is_waiting


def test_what_lives_again_starts_from_nothing(clock: Clock) -> None:
    waits = Backoff(deaths=1, within_s=60)
    waits.after_death()
    waits.after_death()
    waits.forget()
    assert not waits.is_waiting
    assert waits.after_death() == 0.5
