"""What a reader in another process sees in a slot file, and that it never sees a torn value."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.channel.heartbeat import Heartbeat


@pytest.fixture
def heartbeat(tmp_path: Path) -> Iterator[Heartbeat]:
    made = Heartbeat(tmp_path / "slot")
    made.reset()
    yield made
    made.close()


def test_another_reader_of_the_file_sees_what_is_being_computed(heartbeat: Heartbeat, tmp_path: Path) -> None:
    heartbeat.begin([(0, 17), (3, 2**40)])
    other = Heartbeat(tmp_path / "slot")
    seen = other.read()
    assert seen.computing == ((0, 17), (3, 2**40))
    assert seen.computing_for is not None
    assert 0 <= seen.computing_for < 60
    other.close()


def test_nothing_is_being_computed_between_batches(heartbeat: Heartbeat) -> None:
    heartbeat.begin([(1, 2)])
    heartbeat.end()
    seen = heartbeat.read()
    assert (seen.computing, seen.computing_for) == ((), None)


def test_reset_forgets_the_slots_last_owner(heartbeat: Heartbeat, tmp_path: Path) -> None:
    heartbeat.begin([(1, 2)])
    successor = Heartbeat(tmp_path / "slot")
    successor.reset()
    assert heartbeat.read().computing == ()
    successor.close()


def test_a_tick_makes_the_age_small(heartbeat: Heartbeat) -> None:
    heartbeat._words[0] = 0
    assert heartbeat.read().tick_age > 1
    heartbeat.tick()
    assert 0 <= heartbeat.read().tick_age < 60


def test_more_records_than_there_is_room_for_are_cut(heartbeat: Heartbeat) -> None:
    heartbeat.begin([(0, number) for number in range(10_000)])
    assert len(heartbeat.read().computing) == 4096


@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 2**62)), max_size=50))
def test_records_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, int]]) -> None:
    heartbeat = Heartbeat(tmp_path_factory.getbasetemp() / "round-trip")
    heartbeat.begin(records)
    assert heartbeat.read().computing == tuple(records)
    heartbeat.close()


def test_what_was_computed_outlives_a_killed_process(heartbeat: Heartbeat, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from consumers.channel.heartbeat import Heartbeat;"
        "Heartbeat(Path(sys.argv[1])).begin([(2, 99)]); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "slot")], check=False, timeout=120)
    assert ended.returncode == -9
    assert heartbeat.read().computing == ((2, 99),)


def test_a_reader_never_sees_a_torn_tick(heartbeat: Heartbeat, tmp_path: Path) -> None:
    """`struct.pack_into` zeroes the word first: a live worker looked as if it had not ticked for days."""
    code = (
        "import sys; from pathlib import Path; from consumers.channel.heartbeat import Heartbeat;"
        "heartbeat = Heartbeat(Path(sys.argv[1])); print('ticking', flush=True);"
        "[heartbeat.tick() for _ in iter(int, 1)]"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "slot")], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ticking\n"
            assert all(heartbeat._words[0] > 0 for _ in range(200_000))
        finally:
            writer.kill()


def test_a_reader_in_another_thread_never_sees_a_torn_tick(heartbeat: Heartbeat) -> None:
    ended = threading.Event()

    def tick() -> None:
        while not ended.is_set():
            heartbeat.tick()

    writer = threading.Thread(target=tick)
    writer.start()
    try:
        assert max(heartbeat.read().tick_age for _ in range(20_000)) < 60
    finally:
        ended.set()
        writer.join()
