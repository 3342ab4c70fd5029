"""A process that logs neither waits for the reader of its log nor fails with it."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from standfast.core.processes import launching

_LOGS = """
import logging, sys
import structlog
from standfast.core import logs
from standfast.core.settings import LogSettings
logs.configure(LogSettings(format="json"), "supervisor")
for number in range(int(sys.argv[1])):
    structlog.get_logger().warning("a line", number=number)
    logging.getLogger("kafka").error("another line %d", number)
print("went on")
"""


def _ends(lines: int, stderr: int) -> str:
    words = [*launching.command()[:2], "-c", _LOGS, str(lines)]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=120, check=False, env=launching.environment()
    )
    return done.stdout.strip()


def test_a_pipe_that_nobody_reads_any_more_stops_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    assert _ends(3, write) == "went on"
    os.close(write)


def test_a_pipe_whose_reader_has_stopped_reading_stops_nobody() -> None:
    """It waited for ever once the pipe's 64 KiB were full. O_NONBLOCK must not be set on the shared pipe."""
    read, write = os.pipe()
    assert _ends(2000, write) == "went on"
    assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(write)
    os.close(read)


def test_a_socket_whose_reader_has_stopped_or_is_gone_stops_nobody() -> None:
    """systemd connects the journal as such a socket."""
    ours, theirs = socket.socketpair()
    assert _ends(20_000, theirs.fileno()) == "went on"
    ours.close()
    assert _ends(3, theirs.fileno()) == "went on"
    theirs.close()


def test_a_full_disk_stops_nobody() -> None:
    with Path("/dev/full").open("wb") as full:
        assert _ends(3, full.fileno()) == "went on"


def test_every_line_arrives_while_somebody_reads_and_dropped_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from standfast.core.log_output import LogOutput

    read, write = os.pipe()
    with os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        output = LogOutput()
        output.write("first\n")
        assert os.read(read, 100) == b"first\n"
        for _ in range(40):
            output.write("x" * 4000 + "\n")
        while len(os.read(read, 65536)) == 65536:
            pass
        output.write("last\n")
        shown = os.read(read, 1 << 20).decode()
        assert "log lines were dropped" in shown
        assert shown.endswith("last\n")
        monkeypatch.undo()
    os.close(read)


_LOST = """
import logging, sys
from standfast.core import logs
from standfast.core.settings import LogSettings
logs.configure(LogSettings(format="json", level=sys.argv[2]), sys.argv[1])
for what in ("Disconnected: closed by peer", "Connect to ipv4#127.0.0.1:1 failed", "SASL authentication error"):
    logging.getLogger("kafka").error("FAIL [c#1] [thrd:127.0.0.1:1/1]: 127.0.0.1:1/1: %s", what)
"""


@pytest.mark.parametrize(
    ("role", "level", "said"), [("cli", "info", 1), ("cli", "debug", 3), ("supervisor", "info", 3)]
)
def test_a_command_is_silent_about_connections_that_broke_and_says_why_it_is_not_let_in(
    role: str, level: str, said: int
) -> None:
    """A drill that kills brokers filled the screen of `drill run` with them."""
    words = [*launching.command()[:2], "-c", _LOST, role, level]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True, env=launching.environment())
    assert done.stderr.count("FAIL [") == said
    assert "SASL authentication error" in done.stderr
