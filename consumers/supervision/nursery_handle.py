"""The supervisor's end of a nursery: starts the process, has it fork, passes on what it and its workers say."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Collection
from typing import Protocol

import structlog

from consumers.channel.messages import (
    FROM_NURSERY,
    FROM_WORKER,
    Exited,
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
from standfast.core import telemetry
from standfast.core.home import folder
from standfast.core.processes.stillness import is_stopped

_log = structlog.get_logger()
_BURIED_AFTER_S = 1.0


class Listener(Protocol):
    """Who is told what a nursery and its workers say (`consumers.supervision.replica_set.ReplicaSet`)."""

    def loaded(self, nursery: NurseryHandle, model: str) -> None: ...

    def nursery_failed(self, nursery: NurseryHandle, reason: str) -> None: ...

    def exited(self, event: Exited) -> None: ...

    def said(self, member: Member, message: FromWorker) -> None: ...

    def gone(self, member: Member) -> None: ...


class NurseryHandle:
    """A nursery process and the channels to it and its children, on the running asyncio loop.

    `version` is what it is to load, `model` the label of what it has in memory, empty until then.
    """

    def __init__(self, service: Service, version: int, environment: dict[str, str], listener: Listener) -> None:
        self._service = service
        self.version = version
        self._environment = environment
        self._listener = listener
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._members: dict[str, Member] = {}
        self._reason = "the nursery ended without a word"
        self._heard_at = 0.0
        self.model = ""
        self.given_up = False

    def start(self) -> None:
        """Starts the process; `Listener.loaded` follows when its model is in memory. From the main thread only."""
        ours, theirs = pair()
        name = self._service.name
        self._process = subprocess.Popen(
            nursery.command(name, theirs.fileno(), self.version),
            pass_fds=[theirs.fileno()],
            env={
                **os.environ,
                **self._environment,
                **telemetry.environment(folder("run", "metrics"), f"{name}-nursery"),
                # One thread per worker: workers are the parallelism, and a parent with threads must not fork.
                "OMP_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
                # Huge pages where they are to be had: half the time to fork a worker, and to take a dead one down.
                "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
            },
        )
        theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self._heard_at = time.monotonic()
        asyncio.get_running_loop().add_reader(ours, self._nursery_speaks)

    @property
    def members(self) -> Collection[Member]:
        """Its processes that live."""
        return self._members.values()

    def fork(self, slot: str, workers: int) -> Member:
        """Has a new standby made for this slot, ready to be any of so many workers; its pid follows. Raises OSError."""
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

    def stop(self) -> None:
        """Ends the process, stopped or not, and whatever children it still has; returns at once, and tells nobody."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            send(self._channel, StopOrder())
            self._channel.close()
            self._channel = None
        self.kill()

    def kill(self) -> None:
        """SIGKILL, which a stopped process gets too: `Listener.nursery_failed` follows, unless it was to stop."""
        if self._process is not None:
            self._process.kill()
            asyncio.get_running_loop().call_later(_BURIED_AFTER_S, self._process.poll)

    def forget_unborn(self) -> None:
        """Gives up the processes that it was told to make and has not: should it do so yet, they end by themselves."""
        for member in [member for member in self._members.values() if not member.pid]:
            self._gone(member)

    @property
    def silent_s(self) -> float:
        """For how long it has said nothing; it says nothing while it loads its model."""
        return time.monotonic() - self._heard_at

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped by a signal."""
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
        elif isinstance(event, Exited):
            self._listener.exited(event)
        elif isinstance(event, Failed):
            self._reason = event.reason
        elif event is None:
            self._ended()

    def _is_process(self, member: Member, pid: int) -> None:
        try:
            member.is_process(pid)
        except OSError as error:  # it could not be signalled; without its channel it ends by itself
            _log.error("a new process cannot be held", slot=member.slot, pid=pid, error=str(error))
            self._gone(member)

    def _ended(self) -> None:
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        self.model = ""
        self.kill()  # it may linger
        self._listener.nursery_failed(self, self._reason)

    def _worker_speaks(self, member: Member) -> None:
        message = receive(member.channel, FROM_WORKER)
        if message is None:
            self._gone(member)
        else:
            self._told(member, message)

    def _told(self, member: Member, message: FromWorker) -> None:
        if isinstance(message, Ready):
            loop = asyncio.get_running_loop()
            member.on_death(lambda: loop.call_soon_threadsafe(self._died, member))
        self._listener.said(member, message)

    def _died(self, member: Member) -> None:
        """The process has ended, though its channel is not closed yet: what it still said is heard first."""
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
