"""The supervisor's handle on a nursery: starts it, orders forks, passes on the messages of it and its workers."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from consumers.channel.messages import (
    FROM_NURSERY,
    FROM_WORKER,
    CheckWeights,
    Failed,
    Fork,
    Forked,
    FromWorker,
    Loaded,
    Ready,
    StopOrder,
    pair,
    receive,
    send,
)
from consumers.process import nursery
from consumers.service import Service
from consumers.supervision.member import Member
from consumers.supervision.member_state import Exited
from models.canary import Versions
from standfast.core import telemetry
from standfast.core.home import folder
from standfast.core.processes.adopted import exit_status
from standfast.core.processes.stillness import is_stopped

_log = structlog.get_logger()
_REAP_AFTER_S = 1.0  # a killed process is waited for this late, so that it does not stay a zombie


class Listener(Protocol):
    """Gets the events of a nursery and its workers (`consumers.supervision.replica_set.ReplicaSet`)."""

    def loaded(self, nursery: NurseryHandle, model: str) -> None: ...

    def nursery_failed(self, nursery: NurseryHandle, reason: str) -> None: ...  # its processes live on

    def exited(self, event: Exited) -> None: ...

    def received(self, member: Member, message: FromWorker) -> None: ...

    def gone(self, member: Member) -> None: ...


class NurseryProcess(Protocol):
    """A nursery's process, a child of this one."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""


# Service, versions, the descriptor of its channel, all its variables; None where no nursery can be forked now.
ForkNursery = Callable[[str, Versions, int, dict[str, str]], NurseryProcess | None]


def as_programs(_name: str, _versions: Versions, _channel: int, _variables: dict[str, str]) -> None:
    """Forks none: each nursery is a program of its own."""


class NurseryHandle:
    """A nursery process and the channels to it and its children, on the running asyncio loop.

    `versions`: of the models that it loads. `model`: the champion's label, empty until all are loaded. `refused`: it
    could not load them. `damaged`: it ended because a model in its memory was not what it had loaded any more.
    `fork_nursery`: forks one from a process that has imported torch; where it cannot, it is a program of its own.
    """

    def __init__(
        self,
        service: Service,
        versions: Versions,
        environment: dict[str, str],
        listener: Listener,
        fork_nursery: ForkNursery = as_programs,
    ) -> None:
        self._service = service
        self.versions = versions
        self._environment = environment
        self._listener = listener
        self._fork_nursery = fork_nursery
        self._process: NurseryProcess | None = None
        self._channel: socket.socket | None = None
        self._members: dict[str, Member] = {}
        self._reason = "the nursery ended without a word"
        self._heard_at = 0.0
        self.model = ""
        self.given_up = False
        self.refused, self.damaged = False, False
        self.challenger_refused = False

    def start(self) -> None:
        """Starts the process; `Listener.loaded` follows when its model is in memory. From the main thread only."""
        ours, theirs = pair()
        name = self._service.name
        variables = {
            **os.environ,
            **self._environment,
            **telemetry.environment(folder("run", "metrics"), f"{name}-nursery"),
            **nursery.ENVIRONMENT,
        }
        with theirs:
            self._process = self._fork_nursery(name, self.versions, theirs.fileno(), variables) or subprocess.Popen(
                nursery.command(name, self.versions, theirs.fileno()), pass_fds=[theirs.fileno()], env=variables
            )
        ours.setblocking(False)
        self._channel = ours
        self._heard_at = time.monotonic()
        asyncio.get_running_loop().add_reader(ours, self._nursery_speaks)

    @property
    def members(self) -> Collection[Member]:
        """The processes that it has made, or was told to make, and that have not ended."""
        return self._members.values()

    def fork(self, slot: str, workers: int) -> Member:
        """Orders a standby for this slot of a service with so many workers; its pid follows later. Raises OSError."""
        if self._channel is None:
            raise RuntimeError("the nursery is not running")
        ours, theirs = pair()
        with theirs:
            try:
                ours.setblocking(False)
                member = Member(slot, ours, self.model)
                if not send(self._channel, Fork(slot, workers), (theirs.fileno(),)):
                    raise BlockingIOError("the nursery reads nothing")
            except OSError:
                ours.close()
                raise
        self._members[slot] = member
        asyncio.get_running_loop().add_reader(ours, self._worker_speaks, member)
        return member

    def check_weights(self) -> None:
        """Has it compare its model's weights with what it loaded."""
        if self._channel is not None:
            send(self._channel, CheckWeights())

    def stop(self) -> None:
        """Ends the process, even if it is stopped (state T); returns at once. No event of the nursery follows."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            send(self._channel, StopOrder())
            self._channel.close()
            self._channel = None
        self.kill()

    def kill(self) -> None:
        """Kills the process, even a stopped one (state T). `Listener.nursery_failed` follows, but not after `stop`."""
        if self._process is not None:
            self._process.kill()
            asyncio.get_running_loop().call_later(_REAP_AFTER_S, self._process.poll)

    def forget_pending(self) -> None:
        """Forgets processes that were ordered and not reported; if made later, they end when they find no channel."""
        for member in [member for member in self._members.values() if not member.pid]:
            self._gone(member)

    @property
    def silent_s(self) -> float:
        """The seconds since its last message; it sends none while it loads its model."""
        return time.monotonic() - self._heard_at

    @property
    def is_stopped(self) -> bool:
        """Whether the nursery is stopped by a signal (state T)."""
        return self._process is not None and is_stopped(self._process.pid)

    def _nursery_speaks(self) -> None:
        if self._channel is None:
            return
        event = receive(self._channel, FROM_NURSERY)
        self._heard_at = time.monotonic()
        if isinstance(event, Loaded):
            self.model = event.model
            self._listener.loaded(self, event.model)
        elif isinstance(event, Forked):
            if (member := self._members.get(event.slot)) is not None and not member.pid:
                self._is_process(member, event.pid)
        elif isinstance(event, Failed):
            self._reason, self.damaged = event.reason, event.damaged
            self.refused = not self.model
            self.challenger_refused = event.challenger
        elif event is None:
            self._ended()

    def _is_process(self, member: Member, pid: int) -> None:
        try:
            member.is_process(pid)
            self._await_end(member.slot, pid)
        except OSError as error:  # without a pidfd it could not be killed; when its channel is closed it ends by itself
            _log.error("a new process cannot be held", slot=member.slot, pid=pid, error=str(error))
            self._gone(member)

    def _await_end(self, slot: str, pid: int) -> None:
        """Passes on the exit status of the process, which is the supervisor's own child. Raises OSError."""
        loop, end = asyncio.get_running_loop(), os.pidfd_open(pid)

        def ended() -> None:
            loop.remove_reader(end)
            os.close(end)
            status = exit_status(pid)
            if status is not None:
                self._listener.exited(Exited(slot, pid, status))

        loop.add_reader(end, ended)

    def _ended(self) -> None:
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        self.model = ""
        self.kill()  # its channel is closed, but it may still run
        self._listener.nursery_failed(self, self._reason)
        self.forget_pending()  # last: the listener replaces each of them, and must not ask this nursery for it

    def _worker_speaks(self, member: Member) -> None:
        message = receive(member.channel, FROM_WORKER)
        if message is None:
            self._gone(member)
        else:
            self._received(member, message)

    def _received(self, member: Member, message: FromWorker) -> None:
        if isinstance(message, Ready):
            loop = asyncio.get_running_loop()
            member.on_death(lambda: loop.call_soon_threadsafe(self._died, member))
        self._listener.received(member, message)

    def _died(self, member: Member) -> None:
        """The process has ended, but its channel may not be closed yet: reads its last messages first."""
        while not member.closed:
            try:
                self._worker_speaks(member)
            except BlockingIOError:
                self._gone(member)

    def _gone(self, member: Member) -> None:
        asyncio.get_running_loop().remove_reader(member.channel)
        if self._members.get(member.slot) is member:
            del self._members[member.slot]
        self._listener.gone(member)
        member.close()
