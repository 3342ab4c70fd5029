"""Starts child processes that cannot outlive this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from standfast.core.errors import SetupError
from standfast.core.processes import parent_death

# Sets the parent-death signal, then execs the real program. A `preexec_fn` would run Python in a fork of a threaded
# process, which may deadlock; a fresh interpreter cannot.
_WRAPPER = [sys.executable, "-I", "-S", parent_death.__file__]


def start_child(
    command: list[str],
    signal_at_death: int,
    output: Path | None,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `command` in its own process group; the kernel sends it `signal_at_death` when this process dies.

    Linux sends that signal when the *thread* that started the child ends: call this from one that lives as long as the
    process. In its own group the child does not get the terminal's Ctrl-C: this process stops children in order. A
    session of its own would also take Kafka out of the competition for processor time (`lifeline.leave_group`): the low
    priority of its compiler counted for nothing, and models loaded 2 s later.

    Args:
        output: the file for stdout and stderr, its folder created if missing; None: this process's stderr.
        folder: the child's current folder; None: this process's.

    Raises:
        SetupError: the file cannot be written, or the command cannot be started.
    """
    wrapped = [*_WRAPPER, str(os.getpid()), str(int(signal_at_death)), *command]
    with nullcontext(sys.stderr) if output is None else _opened(output) as file:
        try:
            return subprocess.Popen(
                wrapped,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                process_group=0,
            )
        except OSError as error:
            if folder is not None and not folder.is_dir():
                raise SetupError(f"{command[0]} cannot be started: its folder {folder} is gone; start anew") from None
            raise SetupError(f"{command[0]} cannot be started: {error.strerror}; run `make setup` again") from None


def _opened(output: Path) -> BinaryIO:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return output.open("ab")
    except OSError as error:
        raise SetupError(f"the log {output} cannot be written: {error.strerror}; see to that folder") from None


def signal_name(number: int) -> str:
    """The signal's name: `SIGKILL` for 9; real-time signals, most of which Python has no names for, as `SIGRTMIN+3`."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def why_it_ended(status: int) -> str:
    """A process's exit status in words."""
    return f"ended with exit status {status}" if status >= 0 else f"was ended by {signal_name(-status)}"
