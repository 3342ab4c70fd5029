"""Starts roles' processes: forked from their nursery, or as programs of their own where that does not work."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog

from standfast.core import telemetry
from standfast.core.home import folder
from standfast.core.processes.adopted import AdoptedProcess
from standfast.core.processes.child import start_child
from standfast.core.surroundings import kept_variables
from standfast.role_nursery import LARGEST, REPLIES, ModulesImported, Started, StartRole

_log = structlog.get_logger()
_SLOT = "roles"  # for its metrics, of which it has none: the variables make those of its roles shared ones
_FORK_S = 1.0  # for a role to be forked, which takes some 10 ms


class RoleProcess(Protocol):
    """A role's process, a child of this one."""

    @property
    def pid(self) -> int: ...

    def wait(self) -> int:
        """Blocks until it has ended; returns its exit status, negative: by that signal."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def as_program(_name: str, module: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a role in an interpreter of its own; raises SetupError."""
    command = [sys.executable, "-P", "-m", "standfast.role_process", module]
    return start_child(command, signal.SIGTERM, None, environment)


class RoleLauncher:
    """A nursery of roles, as the supervisor sees it. Use it from the main thread.

    Args:
        shared: the modules that it imports.
        environment: variables that it needs before it imports them.
    """

    def __init__(self, shared: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._shared = shared
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._imported = asyncio.Event()

    def begin(self) -> None:
        """Starts the nursery, if there is anything to import; without one, roles are started as programs."""
        if not self._shared:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_FORK_S)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
        self._imported.clear()
        command = [sys.executable, "-P", "-m", "standfast.role_nursery", str(theirs.fileno()), str(os.getpid())]
        metrics = telemetry.environment(folder("run", "metrics"), _SLOT)
        try:
            self._process = subprocess.Popen(
                [*command, *self._shared], stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[theirs.fileno()],
                env={**kept_variables(os.environ), **metrics, **self._environment}, process_group=0,
            )  # fmt: skip
        except OSError as error:
            _log.warning("no nursery of roles", error=str(error))
            ours.close()
        else:
            self._channel = ours
            asyncio.get_running_loop().add_reader(ours.fileno(), self._first_word, ours)
        finally:
            theirs.close()

    async def ready(self, within_s: float) -> None:
        """Waits until the nursery, if there is one, has imported the modules or has ended."""
        if self._channel is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._imported.wait(), within_s)

    def start(self, name: str, module: str, environment: dict[str, str]) -> RoleProcess:
        """Starts the role's process; raises SetupError."""
        return self.fork(StartRole(name, module, environment)) or as_program(name, module, environment)

    def fork(self, order: StartRole, *descriptors: int) -> AdoptedProcess | None:
        """The role's process, which inherits the descriptor; None if it is to be started as a program."""
        if self._channel is None or not self._imported.is_set():
            return None
        started = self._forked(self._channel, order, descriptors)
        if started is not None and started.pid:
            return AdoptedProcess(started.pid)
        why = started.error if started else "no answer"
        _log.warning("a role is started without its nursery", name=order.name, why=why)
        if started is None:
            self._replace()
        return None

    def close(self) -> None:
        """Ends the nursery; the roles go on."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._channel = self._process = None

    def _first_word(self, channel: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(channel.fileno())
        with suppress(OSError, msgspec.MsgspecError):
            if isinstance(REPLIES.decode(channel.recv(LARGEST)), ModulesImported):
                self._imported.set()
                return
        self.close()
        self._imported.set()

    def _forked(self, channel: socket.socket, order: StartRole, descriptors: Sequence[int]) -> Started | None:
        """The answer of the role or of its nursery; None if there is none, and then none will start any more."""
        with suppress(OSError, msgspec.MsgspecError):
            socket.send_fds(channel, [msgspec.json.encode(order)], descriptors)
            return _started(channel.recv(LARGEST))
        # From here on whoever is forked finds nobody to tell, and ends; what was told before still lies there.
        with suppress(OSError, msgspec.MsgspecError):
            channel.shutdown(socket.SHUT_RD)
            return _started(channel.recv(LARGEST))
        return None

    def _replace(self) -> None:
        self.close()
        self.begin()


def _started(reply: bytes) -> Started | None:
    told = REPLIES.decode(reply)
    return told if isinstance(told, Started) else None
