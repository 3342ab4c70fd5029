"""Standard input, output and error, made usable where the parent process closed them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def open_all() -> None:
    """Opens descriptors 0, 1 and 2 where they are closed, and makes stdout and stderr accept any text.

    The next file or connection would otherwise get the free number, and printed text would go there. A closed stdout is
    opened read-only, so that a result nobody can receive is an error.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, "r"))
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w"))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(2, "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up_stdout() -> None:
    """Points stdout at /dev/null: the interpreter flushes it once more at exit, and would report the same error."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
