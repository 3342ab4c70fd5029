"""A process without steps is told from a slow one, and from one whose supervisor itself was stopped."""

from __future__ import annotations

import os
from pathlib import Path

from standfast.core.processes.pulse import Pulse
from standfast.core.processes.stillness import Stillness


def looked(stillness: Stillness, seconds: float) -> str:
    for _ in range(int(seconds / 0.5)):
        stillness.look(0.5)
    return stillness.too_long


def test_a_minute_without_a_step_is_too_long_and_half_of_it_is_said(tmp_path: Path) -> None:
    theirs, ours = Pulse(tmp_path / "pulse"), Pulse(tmp_path / "pulse")
    stillness = Stillness(os.getpid(), ours)
    theirs.beat()
    assert looked(stillness, 30.0) == ""
    assert not stillness.is_long
    assert looked(stillness, 5.0) == ""
    assert stillness.is_long
    theirs.beat()
    assert looked(stillness, 60.0) == "", "it had made a step"
    assert looked(stillness, 1.0).startswith("it made no step for 6")


def test_before_its_first_step_it_has_ten_minutes(tmp_path: Path) -> None:
    stillness = Stillness(os.getpid(), Pulse(tmp_path / "pulse"))
    assert looked(stillness, 590.0) == ""
    assert looked(stillness, 11.0).startswith("it made no step for 60")


def test_only_looks_count_and_not_the_time_in_which_nobody_looked(tmp_path: Path) -> None:
    """`docker pause` stops the supervisor with its roles: after an hour of it no role may be killed."""
    pulse = Pulse(tmp_path / "pulse")
    stillness = Stillness(os.getpid(), pulse)
    pulse.beat()
    looked(stillness, 10.0)
    assert stillness.silent_s == 9.5


def test_without_a_file_to_look_at_nobody_is_taken_for_silent() -> None:
    assert looked(Stillness(os.getpid(), None), 3600.0) == ""
