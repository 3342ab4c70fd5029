"""Starting a process: a missing log folder is created again; anything else that is missing is named."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import pytest

from standfast.core.errors import SetupError
from standfast.core.processes.child import start_child

SAYS = [sys.executable, "-c", "print('said')"]


def test_the_folder_of_its_log_is_made_again(tmp_path: Path) -> None:
    """When the folder was deleted while the system ran, the error advised to run `make setup` again."""
    log = tmp_path / "logs" / "one.log"
    for _ in range(2):
        assert start_child(SAYS, signal.SIGTERM, log).wait(60) == 0
        assert log.read_text() == "said\n"
        shutil.rmtree(log.parent)


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    log = tmp_path / "logs" / "one.log"
    with pytest.raises(SetupError, match=f"the log {log} cannot be written: File exists; see to that folder"):
        start_child(SAYS, signal.SIGTERM, log)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"its folder {tmp_path / 'data'} is gone"):
        start_child(SAYS, signal.SIGTERM, tmp_path / "one.log", folder=tmp_path / "data")
