"""The task of a peer's process: one JSON object, its only argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve and where. `batch`: most requests in one; `pid_file`: for the pid of the process with the model.

    `as_usual`: with the encoder as transformers computes it, in float32.
    """

    service: str
    device: str
    batch: int
    pid_file: str
    servers: str = ""
    requests: str = ""
    results: str = ""
    group: str = ""
    port: int = 0
    as_usual: bool = False
    precision: str = "auto"

    def argument(self) -> str:
        """The task as a command-line argument."""
        return msgspec.json.encode(self).decode()

    def computes_here(self) -> None:
        """Writes this process's pid to `pid_file`: it has the model, so the benchmark pins it to the model's core."""
        Path(self.pid_file).write_text(str(os.getpid()), encoding="utf-8")


def given() -> Task:
    """The task of this process, from its command line."""
    return msgspec.json.decode(sys.argv[1], type=Task)
