"""A host keeps its key while its state folder stays in its place; no other system has the same key."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standfast.core.hosts.host_key import host_key
from standfast.core.settings import Settings, WorkerSettings

NAMED = Settings(workers=WorkerSettings(host="b"))


def key_of(home: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings = NAMED) -> str:
    monkeypatch.setenv("STANDFAST_HOME", str(home))
    return host_key(settings)


def test_it_is_the_hosts_name_and_the_same_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key_of(tmp_path / "one", monkeypatch)
    assert first.startswith("b-")
    assert key_of(tmp_path / "one", monkeypatch) == first


def test_without_a_name_it_has_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, number = key_of(tmp_path, monkeypatch, Settings()).rpartition("-")
    assert name
    assert name.isascii()
    assert len(number) == 8


def test_two_systems_on_one_machine_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of(tmp_path / "one", monkeypatch) != key_of(tmp_path / "two", monkeypatch)


def test_a_copied_state_folder_is_another_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key_of(tmp_path / "one", monkeypatch)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert key_of(tmp_path / "two", monkeypatch) != first


def test_the_same_place_in_another_container_is_another_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers on the machine's network have the same host name, and their state folders the same path."""
    first = key_of(tmp_path / "one", monkeypatch)
    shutil.rmtree(tmp_path / "one")
    assert key_of(tmp_path / "one", monkeypatch) != first


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"no number"])
def test_a_damaged_file_is_replaced(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key_of(tmp_path, monkeypatch)
    (tmp_path / "run" / "host-id").write_bytes(content)
    second = key_of(tmp_path, monkeypatch)
    assert second != first
    assert key_of(tmp_path, monkeypatch) == second


@pytest.mark.parametrize("name", ["", "käthe/\N{GRINNING FACE}", "a b\x1b[2J"])
def test_whatever_the_machine_is_called_the_key_is_plain(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", name, "", "", "")))
    key = key_of(tmp_path, monkeypatch, Settings())
    assert key.isascii()
    assert key.isprintable()
    assert len(key.rpartition("-")[0]) > 0


def test_a_disk_that_takes_nothing_does_not_stop_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "host-id").mkdir(parents=True)
    assert key_of(tmp_path, monkeypatch).startswith("b-")


def test_processes_that_begin_at_the_same_moment_have_one_id(state: Path) -> None:
    """The runner and the agent had another one each, so that no order reached the agent."""
    together = threading.Barrier(8)

    def key(_: int) -> str:
        together.wait()
        return host_key(Settings())

    for _ in range(20):
        (state / "run" / "host-id").unlink(missing_ok=True)
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(key, range(8)))) == 1
    assert [path.name for path in (state / "run").iterdir()] == ["host-id"]
