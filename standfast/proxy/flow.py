"""One direction of one connection: what arrives at one socket is written to the other, as the toxics allow."""

from __future__ import annotations

import asyncio
import random
import termios
from array import array
from collections import deque
from collections.abc import Callable
from fcntl import ioctl

from standfast.core.network.toxics import Toxic

_MOST_WAITING = 262_144  # bytes that are delayed in this process; what comes after them waits in the kernel


class Flow:
    """Without toxics a piece is written as it comes. With toxics it waits in a queue until it is due.

    Bytes are held back, never dropped: TCP would send a lost segment again, so an application sees a pause, and then
    all of the stream. A dropped piece would be a fault that no network makes, a stream with a hole.
    """

    def __init__(self, name: str, ended: Callable[[], None]) -> None:
        self._name = name
        self._when_ended = ended
        self._chance = random.Random(name)
        self._toxics: tuple[Toxic, ...] = ()
        self._queue: deque[tuple[float, bytes]] = deque()  # when it is due, and the piece; an empty one: the end
        self._queued = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self._sink_is_full = False
        self.ended = False

    def connect(self, source: asyncio.Transport, sink: asyncio.Transport) -> None:
        """Both sockets are connected: bytes may flow."""
        self._source, self._sink = source, sink
        self._regulate()

    def shape(self, toxics: tuple[Toxic, ...]) -> None:
        """From now on these toxics apply. What is held back and need not be any more goes on at once, in order."""
        self._toxics = toxics
        self._chance = random.Random(f"{[toxic.seed for toxic in toxics]}{self._name}")
        if not toxics:
            self._queue = deque((0.0, piece) for _, piece in self._queue)
            self._last_due = 0.0
        self._send_due()
        self._regulate()

    @property
    def waiting(self) -> int:
        """Bytes that have arrived and are held back, here and in the kernel."""
        return self._queued + (_unread(self._source) if self._is_held else 0)

    def fed(self, piece: bytes) -> None:
        """A piece has arrived; an empty one: the other side will send no more."""
        if not self._toxics and not self._queue:
            self._write(piece)
            return
        size = self._slice or len(piece) or 1
        for start in range(0, len(piece) or 1, size):
            part = piece[start : start + size]
            self._queue.append((self._due(len(part)), part))
            self._queued += len(part)
        self._send_due()
        self._regulate()

    def sink_is(self, *, full: bool) -> None:
        """The socket that is written to takes no more for now, or takes more again."""
        self._sink_is_full = full
        self._regulate()

    def close(self) -> None:
        """Both sockets are gone."""
        self._source = self._sink = None
        self._queue.clear()
        self._queued = 0
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _is_held(self) -> bool:
        return any(toxic.sort == "silence" for toxic in self._toxics)

    @property
    def _slice(self) -> int:
        return min((toxic.piece for toxic in self._toxics if toxic.sort == "bandwidth"), default=0)

    def _due(self, size: int) -> float:
        """When a piece is written: never before the one in front of it."""
        due = asyncio.get_running_loop().time()
        for toxic in self._toxics:
            if toxic.sort == "latency":
                due += max(0.0, toxic.delay_ms + self._chance.uniform(-toxic.jitter_ms, toxic.jitter_ms)) / 1000
        due = max(due, self._last_due)
        for toxic in self._toxics:
            if toxic.sort == "bandwidth" and toxic.bytes_per_s:
                due += size / toxic.bytes_per_s
        self._last_due = due
        return due

    def _send_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_held:
            return
        loop = asyncio.get_running_loop()
        while self._queue and self._queue[0][0] <= loop.time():
            _, piece = self._queue.popleft()
            self._queued -= len(piece)
            self._write(piece)
        if self._queue:
            self._timer = loop.call_at(self._queue[0][0], self._woken)

    def _woken(self) -> None:
        self._send_due()
        self._regulate()

    def _write(self, piece: bytes) -> None:
        if self._sink is None:
            return
        if piece:
            self._sink.write(piece)
            return
        self.ended = True
        if not self._sink.is_closing():
            self._sink.write_eof()
        self._when_ended()

    def _regulate(self) -> None:
        """Reads on, or leaves the bytes to the kernel, whose window then tells the sender to wait."""
        if self._source is None or self._source.is_closing():
            return
        if self._is_held or self._sink_is_full or self._queued > _MOST_WAITING:
            self._source.pause_reading()
        else:
            self._source.resume_reading()


def _unread(source: asyncio.Transport | None) -> int:
    """Bytes that the kernel holds for a socket that is not read."""
    opened = source.get_extra_info("socket") if source is not None and not source.is_closing() else None
    if opened is None:
        return 0
    size = array("i", [0])
    ioctl(opened.fileno(), termios.FIONREAD, size)
    return size[0]
