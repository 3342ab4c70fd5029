"""Writes log lines to stderr without ever blocking or raising.

The log's reader may end (a pipe without a reader), stop (a full pipe) or run out of disk. A supervisor that raised or
blocked there would stop supervising, so a line that cannot be written at once is dropped and counted.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
from typing import TextIO

_PATIENCE_S = 0.1  # for a slow reader; after a dropped line, nothing waits until a line is written again


class LogOutput:
    """A text stream on this process's stderr; each `write` must be one or more whole lines."""

    def __init__(self) -> None:
        self._dropped = 0
        self._stream: TextIO | None = None
        self._descriptor: int | None = None
        self._socket: socket.socket | None = None

    def write(self, text: str) -> int:
        """Writes the text or drops it; never raises."""
        note = f'{{"event": "{self._dropped} log lines were dropped: stderr took none"}}\n' if self._dropped else ""
        try:
            self._send(note + text, 0.0 if self._dropped else _PATIENCE_S)
        except (OSError, ValueError):  # ValueError: stderr was closed
            self._dropped += 1
        else:
            self._dropped = 0
        return len(text)

    def flush(self) -> None:
        """Does nothing: there is no buffer."""

    def isatty(self) -> bool:
        """Whether stderr is a terminal."""
        return sys.stderr is not None and sys.stderr.isatty()

    def _send(self, text: str, patience_s: float) -> None:
        if self._stream is not sys.stderr:
            self._open()
        data = text.encode(errors="backslashreplace")
        if self._descriptor is not None:
            room = select.poll()
            room.register(self._descriptor, select.POLLOUT)
            room.poll(patience_s * 1000)
        if self._socket is not None:
            self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        elif self._descriptor is not None:
            os.write(self._descriptor, data)
        elif self._stream is not None:
            self._stream.write(text)
            self._stream.flush()

    def _open(self) -> None:
        """Opens stderr's pipe or terminal once more with O_NONBLOCK.

        Set on the inherited descriptor, the flag would hold for every process that shares it.
        """
        self._stream, self._descriptor, self._socket = sys.stderr, None, None
        try:
            inherited = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # closed, or replaced by a stream without descriptor (pytest)
            return
        kind = os.fstat(inherited).st_mode
        if stat.S_ISSOCK(kind):
            self._socket = socket.socket(fileno=os.dup(inherited))
        elif stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
            try:
                self._descriptor = os.open(f"/proc/self/fd/{inherited}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError:  # another user's pipe cannot be opened: writes go to the inherited descriptor
                self._descriptor = inherited
        else:
            self._descriptor = inherited


OUTPUT = LogOutput()
