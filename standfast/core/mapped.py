"""Small files of fixed size that two processes share as memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from standfast.core.keeping import set_aside


def mapped(path: Path, size: int) -> mmap.mmap:
    """The mapped file, created if missing; one that cannot be opened is moved aside. Raises OSError, also on full disk.

    Disk blocks are allocated first: a write to a mapped page for which there is no block kills the process (SIGBUS).
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except (IsADirectoryError, PermissionError) as error:
        set_aside(path, str(error))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
