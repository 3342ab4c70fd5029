"""Waiting for a condition, with a deadline instead of a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 30.0, every: float = 0.02, what: str = "") -> T:
    """The first truthy value of `condition`, called every `every` seconds.

    Raises AssertionError after `timeout` seconds, with `what` was waited for and the last value.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition} was still {value!r} after {timeout} s")
        time.sleep(every)
