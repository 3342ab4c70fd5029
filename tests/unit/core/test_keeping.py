"""Small files are written whole or stay as they were, whatever fails and with several writers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standfast.core.keeping import set_aside, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    for data in (b"first", b"second"):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_was_there_stays_where_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "kept.json"
    write_whole(path, b"first")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync", fail), "replace": (Path, "replace", fail)}[step])
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_is_to_last_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_whole(tmp_path / "now.json", b"{}", lasting=False)
    assert not synced
    write_whole(tmp_path / "kept.json", b"{}")
    assert len(synced) == 1


def test_threads_that_write_the_same_file_do_not_take_each_others_words(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    texts = [bytes([65 + number]) * 50_000 for number in range(8)]
    with ThreadPoolExecutor(len(texts)) as pool:
        for _ in range(20):
            list(pool.map(lambda text: write_whole(path, text, lasting=False), texts))
            assert path.read_bytes() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_read_is_moved_out_of_the_way(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(b"{torn")
    set_aside(path, "it is torn")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json.unreadable"]
