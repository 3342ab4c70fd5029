"""Standard input, output and error, whatever the caller left of them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def open_all() -> None:
    """Makes all three open, and able to write any text.

    A closed one would be the number of the next file or connection opened, and what is printed would go there. In place
    of a closed stdout stands one that cannot be written, so that a result that nobody gets is an error.
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
    """Sends what is still to come nowhere: the interpreter flushes stdout once more at its end, and would report it."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
