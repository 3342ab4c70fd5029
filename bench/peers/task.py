"""What a peer's process is told: one JSON object, its only argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve and where. `batch`: most requests at once; `pid_file`: where the process with the model is told.

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

    def argument(self) -> str:
        """The command line's form of it."""
        return msgspec.json.encode(self).decode()

    def computes_here(self) -> None:
        """Tells the bench that this process has the model, so that it is pinned as such."""
        Path(self.pid_file).write_text(str(os.getpid()), encoding="utf-8")


def given() -> Task:
    """The task of this process."""
    return msgspec.json.decode(sys.argv[1], type=Task)
