"""Every command and snippet of the documentation is run as written, against one running system.

`standfast up --detach` and `down` are run like every other command; a block that needs a system gets it started again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, RUN, SHOWN, Block, blocks

COMMAND = ".venv/bin/standfast"
UP = [COMMAND, "up", "--detach"]
DOWN = f"{COMMAND} down\n"
# Who stops the system comes last: one start of it for all pages.
RUNNABLE = sorted(
    (block for block in blocks() if block.language in RUN and not block.why_not), key=lambda block: DOWN in block.text
)
pytestmark = pytest.mark.timeout(600)  # the first start trains the models, perhaps on a busy machine
# A drill is rejected while another drill runs, and while answers are slow because the machine is busy.
NOT_NOW = ("busy with", "the steady state is already broken")
AGAIN_S = 120.0  # for how long a block is tried again then
# A reader's machine answers within 5 s; the one that runs the tests stood still for longer while Kafka was fenced.
P99 = ("p99_ms=5000", "p99_ms=30000")
METRICS = "http://127.0.0.1:9464/metrics"


class Checkout:
    """Runs commands as a reader in a fresh checkout would, with its own state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".venv" / "bin").mkdir(parents=True)
        command = folder / COMMAND
        command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m standfast "$@"\n')
        command.chmod(0o755)
        (folder / "schemas").symlink_to(ROOT / "schemas")
        given = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "STANDFAST_"))}
        self.environment = {
            **given,
            "STANDFAST_HOME": str(folder / "state"),
            "STANDFAST_METRICS__PORT": "0",
            "STANDFAST_CONSOLE__PORT": "0",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, words: list[str], limit_s: float = 280) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=limit_s, check=False,
        )  # fmt: skip

    def status(self) -> dict[str, object]:
        status: dict[str, object] = json.loads(self.run([COMMAND, "status", "--json"]).stdout)
        return status

    def ensure_up(self) -> None:
        if self.status()["state"] != "ready":
            done = self.run(UP)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    reader = Checkout(tmp_path_factory.mktemp("reader"))
    try:
        yield reader
    finally:
        reader.run([COMMAND, "down"])


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_the_block_runs_as_written(block: Block, reader: Checkout) -> None:
    if "curl" in block.text and shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    if "up --detach" not in block.text:
        reader.ensure_up()
    text = block.text.replace(METRICS, str(reader.status()["metrics_url"])).replace(*P99)
    words = [sys.executable, "-c", text] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", text]
    done = reader.run(words)
    deadline = time.monotonic() + AGAIN_S
    while done.returncode and any(why in done.stdout + done.stderr for why in NOT_NOW) and time.monotonic() < deadline:
        time.sleep(2)
        done = reader.run(words)
    assert done.returncode == 0, f"{text}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_every_block_says_what_it_is(block: Block) -> None:
    """A block with any other label would be neither run nor listed as not run."""
    assert block.language in RUN + SHOWN
    assert not block.why_not or block.language in RUN


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "json"], ids=str)
def test_json_samples_are_json(block: Block) -> None:
    json.loads(block.text)
