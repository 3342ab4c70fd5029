"""Small files of fixed size that two processes share as memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from standfast.core.keeping import set_aside


def mapped(path: Path, size: int) -> mmap.mmap:
    """The file's memory. Raises OSError, of a full disk too; what cannot be opened is moved aside.

    Its blocks are set aside first: a write to memory that turns out to have none ends the process that writes (SIGBUS).
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
