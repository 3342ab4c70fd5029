"""`make setup` ends with one line that says what to do, whatever it lacks."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standfast_setup", ROOT / "tools" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with copies of the files that set-up reads."""
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run_script(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(project), **variables}
    return subprocess.run(
        ["/bin/sh", "tools/setup.sh"], cwd=project, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def fake_python(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / "python3"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
    script.chmod(0o755)
    for tool in ("dirname",):
        (folder / tool).symlink_to(shutil.which(tool) or "")


def test_an_old_python_is_named_with_what_to_install(project: Path) -> None:
    fake_python(project / "bin", "3.8.10")
    done = run_script(project, PATH=str(project / "bin"))
    assert done.returncode == 1
    assert "there is Python 3.8.10" in last_line(done)
    assert "sudo apt install python3" in last_line(done)
    assert len(done.stderr.splitlines()) == 1


def test_no_python_at_all_is_one_line(project: Path) -> None:
    fake_python(project / "bin", "3.8.10")
    (project / "bin" / "python3").unlink()
    done = run_script(project, PATH=str(project / "bin"))
    assert done.returncode == 1
    assert "there is no python3 that runs" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_network_the_last_line_says_so_and_the_next_run_goes_on(project: Path, tmp_path: Path) -> None:
    """The first run leaves a usable `.venv` behind; the second does not make it again."""
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PYTHON": sys.executable}
    first = run_script(project, **unreachable)
    assert first.returncode == 1
    assert "check the network" in last_line(first)
    assert not (project / ".venv" / "standfast-setup.json").exists()
    second = run_script(project, **unreachable)
    assert "[1/4]" in first.stderr
    assert "[1/4]" not in second.stderr
    assert "[2/4]" in second.stderr


def test_a_full_disk_is_found_before_anything_is_downloaded(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "free_bytes", lambda _: 2_500_000_000)
    with pytest.raises(setup.SetupFailed, match=r"2\.5 GB are free .* 8\.0 GB are needed"):
        setup.check_space(project, {"UV_CACHE_DIR": str(project)})


def test_what_is_installed_already_counts_as_room(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "free_bytes", lambda _: 2_500_000_000)
    monkeypatch.setattr(setup, "size", lambda _: 6_000_000_000)
    setup.check_space(project, {"UV_CACHE_DIR": str(project)})


def test_a_disk_that_fills_up_on_the_way_is_named(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "free_bytes", lambda _: 1000)
    with pytest.raises(setup.SetupFailed, match=r"disk is full; free 8 GB"):
        setup.run([sys.executable, "-c", "raise SystemExit(1)"], "something else")
    assert "disk is full" in setup.explained(OSError(errno.ENOSPC, "No space left on device"))


def test_another_system_than_linux_is_pointed_to_the_containers(setup: ModuleType) -> None:
    setup.check_platform("linux")
    with pytest.raises(setup.SetupFailed, match=r"this is darwin; use the containers"):
        setup.check_platform("darwin")


def test_a_missing_venv_module_is_named_with_its_package(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(setup.SetupFailed, match=r"sudo apt install python3\.\d+-venv"):
        setup.check_folder(project)


def test_a_folder_that_cannot_be_written_is_named(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.os, "access", lambda *_: False)
    with pytest.raises(setup.SetupFailed, match="cannot be written to; clone the project"):
        setup.check_folder(project)


def test_a_half_made_environment_is_made_anew(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = project / ".venv" / "bin" / "python"
    leftover.parent.mkdir(parents=True)
    leftover.symlink_to("/nowhere/python3")
    commands: list[list[str]] = []
    monkeypatch.setattr(setup, "run", lambda command, _: commands.append(list(command)))
    setup.make_environment(project)
    assert not leftover.is_symlink()
    assert commands == [[sys.executable, "-m", "venv", str(project / ".venv")]]


def test_an_environment_that_was_moved_here_is_made_anew(setup: ModuleType, project: Path) -> None:
    """The scripts of a moved environment still name its old folder."""
    (project / ".venv").mkdir()
    (project / ".venv" / "pyvenv.cfg").write_text("command = /usr/bin/python3 -m venv /elsewhere/.venv\n")
    (project / ".venv" / "bin").mkdir()
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert not setup.is_usable(project)


def test_a_second_set_up_finds_nothing_to_do_until_a_lock_changes(
    setup: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    setup.stamp(project).write_text(setup.mark(project))
    monkeypatch.setattr(setup, "check_folder", lambda _: pytest.fail("there was nothing to do"))
    setup.set_up(project)
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert not setup.is_whole(project, setup.mark(project))


def test_the_installer_is_taken_from_the_lock_file_with_its_hashes(setup: ModuleType) -> None:
    block = setup.block_of("uv", (ROOT / "requirements.lock").read_text())
    lines = block.splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 1
    assert all("--hash=sha256:" in line for line in lines[1:])


def test_a_users_python_settings_do_not_lead_packages_astray(setup: ModuleType) -> None:
    cleaned = setup.clean({"PYTHONPATH": "/x", "PIP_USER": "1", "PIP_INDEX_URL": "https://mirror/simple", "HOME": "/h"})
    assert cleaned == {
        "PIP_INDEX_URL": "https://mirror/simple", "UV_DEFAULT_INDEX": "https://mirror/simple", "HOME": "/h",
    }  # fmt: skip


def test_an_interrupted_set_up_says_how_to_go_on(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "set_up", interrupted)
    assert setup.main([]) == 130
    assert "run `make setup` again" in capsys.readouterr().err


def test_the_stamp_is_readable_json(setup: ModuleType, project: Path) -> None:
    assert json.loads(setup.mark(project))["root"] == str(project)
