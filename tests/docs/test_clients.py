"""The documentation's clients in other languages, run as written and answered by a running system."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.kafka.distribution import class_path
from tests.docs.blocks import blocks
from tests.support.toys.toys import Toys

_KAFKAJS = "kafkajs@2.2.4"


@pytest.fixture(scope="module")
def toys(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    """A system whose topics have no prefix, like those in the documentation."""
    made = Toys(tmp_path_factory.mktemp("clients"), broker, "", ("search",))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _shown(language: str) -> str:
    return next(block.text for block in blocks() if block.language == language and not block.why_not)


def _answer_to(command: list[str], toys: Toys, folder: Path) -> dict[str, object]:
    """The answer: the last line that the program prints."""
    environment = {**os.environ, "KAFKA": toys.settings.kafka.bootstrap_servers}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_java_client_is_answered(toys: Toys, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None or "jdk.compiler" not in subprocess.check_output([java, "--list-modules"], text=True):
        pytest.skip("no Java with a compiler is installed here; the project's own runtime has none")
    (tmp_path / "Search.java").write_text(_shown("java"))
    answer = _answer_to([java, "-cp", class_path(), "Search.java"], toys, tmp_path)
    assert (answer["status"], str(answer["worker"])[:7]) == ("ok", "search-")


def test_the_javascript_client_is_answered(toys: Toys, tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node.js is installed here")
    fetched = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", _KAFKAJS],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"{_KAFKAJS} cannot be fetched here: {fetched.stderr.splitlines()[-1:]}")
    (tmp_path / "search.js").write_text(_shown("javascript"))
    answer = _answer_to([node, "search.js"], toys, tmp_path)
    assert (answer["status"], str(answer["worker"])[:7]) == ("ok", "search-")
