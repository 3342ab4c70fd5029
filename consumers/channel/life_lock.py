"""Hears of a process's death before the kernel has taken the process down.

A channel closes only after the memory of its process has been given back: 10 to 50 ms for one that was forked with a
model in it. A robust mutex (pthread_mutexattr_setrobust(3)) is passed on as the thread that holds it ends, before that:
0.2 to 2.5 ms after a SIGKILL, measured side by side.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from standfast.core.mapped import mapped

_SHARED = 1  # PTHREAD_PROCESS_SHARED and PTHREAD_MUTEX_ROBUST
_SIZE = 64  # of a pthread_mutex_t: 40 bytes on x86-64, 48 on ARM64
_libc = ctypes.CDLL(None)


class LifeLock:
    """A lock in a file, which a worker's main thread takes for as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._map = mapped(path, _SIZE)
        self._mutex = (ctypes.c_char * _SIZE).from_buffer(self._map)

    def reset(self) -> None:
        """Makes the lock anew; before the process that is to hold it is started."""
        attributes = ctypes.create_string_buffer(_SIZE)
        _check(_libc.pthread_mutexattr_init(attributes))
        _check(_libc.pthread_mutexattr_setpshared(attributes, _SHARED))
        _check(_libc.pthread_mutexattr_setrobust(attributes, _SHARED))
        _check(_libc.pthread_mutex_init(self._mutex, attributes))

    def hold(self) -> None:
        """Takes the lock until the calling thread ends."""
        _check(_libc.pthread_mutex_lock(self._mutex))

    def wait_for_death(self) -> None:
        """Blocks until the thread that holds the lock has ended, however it ended; at once if nobody holds it."""
        result = _libc.pthread_mutex_lock(self._mutex)
        if result == errno.EOWNERDEAD:
            _libc.pthread_mutex_consistent(self._mutex)
        else:
            _check(result)
        _check(_libc.pthread_mutex_unlock(self._mutex))


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))
