"""One worker or standby process as the supervisor sees it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from consumers.channel.heartbeat import Heartbeat
from consumers.channel.life_lock import LifeLock
from consumers.channel.loop_steps import LoopSteps
from consumers.channel.messages import Message, send
from consumers.process.worker_process import life_file, slot_file, steps_file, transactional_id
from consumers.service import Service
from consumers.supervision.fencing import Fence
from consumers.supervision.member_state import MemberState
from standfast.core.processes.stillness import is_stopped
from standfast.core.settings import Settings


class Member(MemberState):
    """The process, its channel, its heartbeat and how to kill it; `pid` is 0 until the nursery reports it."""

    def __init__(self, slot: str, channel: socket.socket, model: str) -> None:
        super().__init__(slot, model)
        self.channel = channel
        self.heartbeat = Heartbeat(slot_file(slot))
        self.heartbeat.reset()
        self.steps = LoopSteps(steps_file(slot))
        self.steps.reset()
        self._life = LifeLock(life_file(slot))
        self._life.reset()
        self.pid = 0
        self.made_at = time.monotonic()
        self.fence: Fence | None = None
        self.closed = False
        self._pidfd: int | None = None

    def is_process(self, pid: int) -> None:
        """Sets the process; its pidfd is kept, so that a later process with the same pid is never signalled."""
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return  # the process is dead already, which its closed channel will show

    def send(self, message: Message) -> bool:
        """Sends a message; False if the process is gone or reads nothing."""
        return send(self.channel, message)

    def on_death(self, died: Callable[[], object]) -> None:
        """Calls `died`, in a thread of its own, as soon as the process ends. Only when the process is ready.

        Before that it may not hold its lock yet, and would be taken for dead.
        """

        def wait() -> None:
            self._life.wait_for_death()
            died()

        threading.Thread(target=wait, name=f"death-{self.slot}", daemon=True).start()

    def arm(self, settings: Settings, service: Service) -> None:
        """Connects the client that will fence the process when it dies; blocks."""
        fence = Fence(settings, transactional_id(service, self.slot))
        fence.connect()
        self.fence = fence

    def kill(self) -> None:
        """Kills the process (SIGKILL) if it lives."""
        if self._pidfd is None:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def is_stopped(self) -> bool:
        """Whether the process is stopped by a signal (state T), and not merely short of processor time."""
        return is_stopped(self.pid)

    def close(self) -> None:
        """Closes the channel, the heartbeat and the pidfd."""
        self.closed = True
        self.channel.close()
        self.heartbeat.close()
        self.steps.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
