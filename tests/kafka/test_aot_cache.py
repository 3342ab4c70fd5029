"""Java accepts the AOT cache that set-up prepares, for every way in which Kafka is started."""

from __future__ import annotations

import subprocess

import pytest

from standfast.kafka.distribution import QUICK_TO_START, aot_cache_file, java_command


@pytest.mark.parametrize("options", [[], [QUICK_TO_START]], ids=["lasting", "quick"])
@pytest.mark.parametrize("heap", ["512m", "384m"])
def test_java_takes_what_was_prepared(heap: str, options: list[str]) -> None:
    assert aot_cache_file().is_file(), "make setup prepares it"
    strict = [*options, "-XX:AOTMode=on"]  # otherwise Java silently ignores a cache that does not fit
    done = subprocess.run(java_command("kafka.Kafka", heap, strict), capture_output=True, text=True, check=False)
    assert "USAGE" in done.stdout + done.stderr
