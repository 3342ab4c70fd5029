"""Orders to die at a step: how a test gives one, and how a worker process carries it out."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException

NOTE_SIZE = 65_536  # bytes of the file `death`: bounds the JSON of a `Death`
_WITHIN_S = 0.001  # how long after the start of a step a process dies "in" it
# Read at import: another thread that dies sets it to 1000 s, and a thread that read it then spun for 50 minutes.
_INTERVAL_S = sys.getswitchinterval()

When = Literal["before", "in", "after"]


class Order(msgspec.Struct, frozen=True):
    """Kills the first process that comes to `step`: before it, a millisecond into it (or when it ends), or after it.

    With `fails`, the first process that comes to the step `fails` sees that step time out, after Kafka has done it
    (`done`) or before, and dies later at `step`.
    """

    step: str
    when: When
    fails: str = ""
    done: bool = True


class Death(msgspec.Struct, frozen=True):
    """The process that died, the records its heartbeat named, and how many the model was computing (-1: none)."""

    pid: int
    computing: Sequence[tuple[int, int]] = ()
    asked: int = -1


class Orders:
    """Reads the file `order` in `folder`, if there is one. `last_words` describes a death just before it."""

    def __init__(self, folder: Path, last_words: Callable[[], Death]) -> None:
        self._folder = folder
        self._last_words = last_words
        self._mine: Order | None = None
        self._has_failed = False

    def before(self, step: str) -> None:
        """Dies or raises before a step, or starts the timer to die in it, if that was ordered."""
        order = self._order()
        if order is None:
            return
        if self._is_due(order, step, "before"):
            self._die()
        self._fail(order, step, done=False)
        if self._is_due(order, step, "in"):
            threading.Timer(_WITHIN_S, self._die).start()

    def after(self, step: str) -> None:
        """Dies or raises after a step, if that was ordered."""
        order = self._order()
        if order is None:
            return
        if self._is_due(order, step, "after") or (self._mine and self._is_due(order, step, "in")):
            self._die()
        self._fail(order, step, done=True)

    def _order(self) -> Order | None:
        try:
            return self._mine or msgspec.json.decode((self._folder / "order").read_bytes(), type=Order)
        except FileNotFoundError:
            return None

    def _is_due(self, order: Order, step: str, when: When) -> bool:
        if (order.step, order.when) != (step, when) or (order.fails and not self._has_failed):
            return False
        return self._is_mine(order)

    def _is_mine(self, order: Order) -> bool:
        """Whether this process has the order: the first process that renames the file gets it."""
        if self._mine is None:
            try:
                (self._folder / "order").rename(self._folder / "claimed")
            except FileNotFoundError:
                return False
            self._mine = order
        return True

    def _fail(self, order: Order, step: str, *, done: bool) -> None:
        if (order.fails, order.done) == (step, done) and not self._has_failed and self._is_mine(order):
            self._has_failed = True
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "as the test wanted it"))

    def _die(self) -> None:
        with (self._folder / "death").open("r+b") as file:
            page = mmap.mmap(file.fileno(), NOTE_SIZE)
        _keep_the_interpreter()
        # From here on no other thread runs Python code, so the note is still true when the process dies.
        note = msgspec.json.encode(self._last_words())
        page[: len(note)] = note
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def _keep_the_interpreter() -> None:
    """Keeps Python's global interpreter lock in this thread.

    A waiting thread asks for the lock after each switch interval. On a slow machine a thread got it between the note
    and the kill, began to compute, and was blamed for records that the note did not name. Threads that wait already
    ask once more at the old interval; the loop lasts until they have.
    """
    sys.setswitchinterval(1000)
    until = time.monotonic() + 3 * _INTERVAL_S
    while time.monotonic() < until:
        pass
