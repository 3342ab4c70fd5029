"""A torn metrics file loses only its own values, and a full disk ends no process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from standfast.core.metrics_files import Collector, ValuesFile

_KEY = '["standfast_drills", "standfast_drills_total", {"drill": "%s"}, "Drills ended."]'


def _whole(path: Path) -> bytes:
    file = ValuesFile(str(path))
    file.write_value(_KEY % path.stem, 1.0, 0.0)
    file.close()
    return path.read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 3, 9, 40, 90])
def test_a_file_that_its_process_was_killed_over_is_left_out_of_the_scrape_and_begun_anew(
    kept: int, tmp_path: Path
) -> None:
    _whole(tmp_path / "counter_a.db")
    torn = tmp_path / "counter_b.db"
    torn.write_bytes(_whole(torn)[:kept])
    registry = CollectorRegistry()
    Collector(registry, tmp_path)
    shown = generate_latest(registry).decode()
    assert 'standfast_drills_total{drill="counter_a"} 1.0' in shown
    assert "counter_b" not in shown
    _whole(torn)
    assert 'standfast_drills_total{drill="counter_b"} 1.0' in generate_latest(registry).decode()


def test_a_key_that_is_no_json_costs_its_own_file_only(tmp_path: Path) -> None:
    _whole(tmp_path / "counter_a.db")
    broken = bytearray(_whole(tmp_path / "counter_b.db"))
    broken[12:14] = b"\xff\xff"
    (tmp_path / "counter_b.db").write_bytes(broken)
    registry = CollectorRegistry()
    Collector(registry, tmp_path)
    assert b'drill="counter_a"' in generate_latest(registry)


def test_a_folder_with_brackets_in_its_name_is_scraped(tmp_path: Path) -> None:
    folder = tmp_path / "state [1]"
    folder.mkdir()
    _whole(folder / "counter_a.db")
    registry = CollectorRegistry()
    Collector(registry, folder)
    assert b'drill="counter_a"' in generate_latest(registry)


def test_a_disk_that_is_full_when_a_file_is_made_or_grows_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = ValuesFile(str(tmp_path / "counter_a.db"))

    def full(_descriptor: int, _offset: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    for file in (grown, ValuesFile(str(tmp_path / "counter_b.db"))):
        for number in range(2000):
            file.write_value(_KEY % number, float(number), 0.0)
        assert [file.read_value(_KEY % number)[0] for number in (0, 1999)] == [0.0, 1999.0]
        file.close()
    size = (tmp_path / "counter_a.db").stat().st_size
    assert size == 1 << 16, "without disk space it must not grow: SIGBUS would kill at its next page"
