"""After `one_arena` all threads of the process share one malloc heap."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Sixteen threads that live at the same time and call malloc; prints malloc_info, which lists the heaps.
_THREADS = """
import ctypes, threading
from standfast.malloc_settings import one_arena

if {called}:
    one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
all_there = threading.Barrier(17)

def take():
    libc.malloc(100_000)
    all_there.wait(30)

threads = [threading.Thread(target=take) for _ in range(16)]
for thread in threads:
    thread.start()
all_there.wait(30)
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
libc.fflush(None)
"""


@pytest.mark.parametrize("called", [True, False])
def test_threads_have_heaps_of_their_own_unless_it_was_called(called: bool) -> None:
    program = _THREADS.format(called=called)
    heaps = subprocess.check_output([sys.executable, "-c", program], text=True).count("<heap ")
    assert (heaps == 1) == called, heaps
