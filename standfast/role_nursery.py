"""One process that has imported what roles need, and forks each role from itself.

A fork shares those modules, 38 MB a role, and takes milliseconds where a new Python takes 0.6 s of a core. It is safe
because this process opens no Kafka client and starts no thread. Its roles are the supervisor's own children: they
outlive it, and another is started for the next ones.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from consumers.process import offspring
from standfast import role_process
from standfast.core import telemetry
from standfast.core.processes.lifeline import leave_interrupts_to_parent
from standfast.core.processes.parent_death import tie_to_parent

# Not the stream processor's: Faust alone is 40 MB, of which the others would have nothing.
_SHARED = ("consumers.profiles.__main__", "consumers.catalogue.__main__", "drills.__main__", "drills.agent.__main__")
LARGEST = 1_000_000  # bytes of a message, most of it environment


class StartRole(msgspec.Struct, frozen=True, tag=True):
    """To the nursery: start this role; `name` is what `ps -o comm` shows, `environment` all its variables."""

    name: str
    module: str
    environment: dict[str, str]


class ModulesImported(msgspec.Struct, frozen=True, tag=True):
    """From the nursery: it has imported the modules."""


class Started(msgspec.Struct, frozen=True, tag=True):
    """From the role that was started, before it does anything; or from the nursery, with the error, if none was."""

    pid: int
    error: str = ""


Reply = ModulesImported | Started
REPLIES = msgspec.json.Decoder(Reply)
_ORDERS = msgspec.json.Decoder(StartRole)


def main(channel_descriptor: str, parent: str) -> int:
    """Forks roles until the supervisor closes the channel."""
    interrupts = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    tie_to_parent(int(parent))
    leave_interrupts_to_parent()
    channel = socket.socket(fileno=int(channel_descriptor))
    for module in _SHARED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else the collector would write to, and so copy, every page of the modules in every role
    _send(channel, ModulesImported())
    while order := channel.recv(LARGEST):
        _start(channel, _ORDERS.decode(order), interrupts)
    return 0


def _start(channel: socket.socket, order: StartRole, interrupts: Mapping[signal.Signals, Any]) -> None:
    def child() -> int:
        for number, handler in interrupts.items():
            signal.signal(number, handler)
        return _run(channel, order)

    try:
        offspring.fork(order.name, child, signal.SIGTERM)
    except OSError as error:
        _send(channel, Started(0, str(error)))


def _run(channel: socket.socket, order: StartRole) -> int:
    """In the forked process: runs the role and returns its exit status."""
    os.setsid()  # a terminal's Ctrl-C is for the supervisor
    _send(channel, Started(os.getpid()))  # fails, and ends this process, if the supervisor has given up waiting for it
    channel.close()
    os.environ.clear()
    os.environ.update(order.environment)
    telemetry.become(order.environment.get(telemetry.SLOT_VARIABLE, order.name))
    sys.argv = [role_process.__name__, order.module]
    try:
        role_process.main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        logging.shutdown()
    return 0


def _send(channel: socket.socket, reply: Reply) -> None:
    channel.send(msgspec.json.encode(reply))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
