"""One heap for all threads of a process that makes and drops clients of Kafka for as long as it lives."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # malloc.h


def one_arena() -> None:
    """Has threads that start from now on take their memory from the main heap; call it before there are any.

    glibc gives threads heaps of their own, up to eight for each core, and each keeps what was once freed in it. With
    every worker that died the supervisor grew by 0.05 MB, though it held no more than before: 43 MB at the start, 54
    after 200 deaths. With one heap it is 43 MB after 125.
    """
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
