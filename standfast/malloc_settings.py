"""glibc's malloc with one arena, for processes that create and drop Kafka clients for as long as they live."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # malloc.h


def one_arena() -> None:
    """Makes all threads allocate from the main arena; call it before any thread starts.

    glibc gives threads arenas of their own, up to eight per core, and each keeps memory that was freed in it. The
    supervisor grew by 0.05 MB with every worker that died: 43 MB at the start, 54 MB after 200 deaths. With one arena
    it is at 43 MB after 125 deaths.
    """
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
