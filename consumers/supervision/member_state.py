"""The state of a worker or standby, as far as the supervisor knows it, and how it changes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from consumers.channel.messages import Failing, FromWorker, Left, LoadReport, Ready, Waiting
from standfast.core.status import WorkerState


@dataclass(frozen=True, slots=True)
class Exited:
    """The end of a process, with its exit status; if negative, by that signal."""

    slot: str
    pid: int
    status: int


class MemberState:
    """A process in its slot; `identity` is None for a standby. Only its own methods change it."""

    def __init__(self, slot: str, model: str) -> None:
        self.slot = slot
        self.model = model
        self.state: WorkerState = "starting"
        self.identity: str | None = None
        self.partitions: dict[str, list[int]] = {}
        self.seats: list[str] = []
        self.failing = ""
        self.waiting = ""
        self.left = False
        self.hung = False
        self.load: LoadReport | None = None
        self.load_at = 0.0
        self.vacant_since: float | None = None
        self.took_over_at = 0.0
        self.to_end_by = math.inf

    @property
    def name(self) -> str:
        """Its name in the log: its identity, or its slot if it has none."""
        return self.identity or self.slot

    def update(self, message: FromWorker) -> None:
        """Updates the state from a message of the process; messages that say nothing of its state change nothing."""
        if isinstance(message, LoadReport):
            self.load, self.load_at = message, time.monotonic()
        elif isinstance(message, Ready):
            self.state, self.seats = "ready", message.seats
        elif isinstance(message, Failing):
            self.failing = message.reason
        elif isinstance(message, Waiting):
            self.waiting = message.reason
        elif isinstance(message, Left):
            self.left = True

    def take_over(self, identity: str, vacant_since: float) -> None:
        """The process serves under this identity, vacant since `vacant_since` (monotonic seconds), from now on."""
        self.identity, self.state = identity, "starting"
        self.vacant_since, self.took_over_at = vacant_since, time.monotonic()

    def serve(self, partitions: dict[str, list[int]]) -> float | None:
        """Sets the partitions that the process serves.

        Returns for how many seconds its identity was vacant, when it has partitions for the first time; else None.
        """
        self.partitions = partitions
        if self.state == "draining":
            return None
        vacant_for = None
        if self.state != "serving" and self.vacant_since is not None and partitions:
            vacant_for, self.vacant_since = time.monotonic() - self.vacant_since, None
        self.state = "serving"
        return vacant_for

    def drain(self, within_s: float) -> None:
        """The process finishes its batch and ends; after `within_s` seconds it is killed."""
        self.state = "draining"
        self.to_end_by = time.monotonic() + within_s

    def hand_over(self, within_s: float) -> str | None:
        """Takes identity and partitions from the process, which drains; returns the identity.

        None, and no change, for a standby.
        """
        identity = self.identity
        if identity is not None:
            self.identity, self.partitions = None, {}
            self.drain(within_s)
        return identity
