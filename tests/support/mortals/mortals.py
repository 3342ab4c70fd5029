"""A toy system whose workers count their steps (`steps`) and can be ordered to die at one (`orders`)."""

from __future__ import annotations

import signal

import msgspec

from tests.support.mortals.steps import Counts
from tests.support.orders import NOTE_SIZE, Death, Order
from tests.support.toys.toys import Toys, is_alive
from tests.waiting import wait_until


class Mortals(Toys):
    """A toy system under orders. There is one order at a time: a new one replaces one that no process has claimed."""

    module = "tests.support.mortals.mortal_system"

    def scale(self, workers: int) -> None:
        """Asks for this number of workers, as `standfast scale` does; returns when the supervisor has read it."""
        path = self.home / "run" / "orders" / "search"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(workers))
        wait_until(
            lambda: {service.workers for service in self.status().services} == {workers}, 30, what="the wanted number"
        )

    def order(self, order: Order) -> None:
        """Orders the first process that comes to the step to die there."""
        (self.home / "death").write_bytes(bytes(NOTE_SIZE))
        fresh = self.home / "order.new"
        fresh.write_bytes(msgspec.json.encode(order))
        fresh.rename(self.home / "order")

    def withdraw(self) -> None:
        """Takes the order back if no process has claimed it."""
        (self.home / "order").unlink(missing_ok=True)

    def death(self) -> Death | None:
        """The death that the last order caused; None until the process has ended."""
        note = (self.home / "death").read_bytes().rstrip(b"\0")
        if not note.endswith(b"}"):
            return None
        death = msgspec.json.decode(note, type=Death)
        return None if is_alive(death.pid) else death

    def steps(self) -> set[str]:
        """Every step that any worker or standby has taken so far."""
        return {line for file in self.home.glob("steps-*") for line in file.read_text().splitlines()}

    def counts(self, pid: int) -> Counts:
        """What a worker or standby has counted so far."""
        file = self.home / f"counts-{pid}"
        file.unlink(missing_ok=True)
        self.kill(pid, signal.SIGUSR1)
        return msgspec.json.decode(wait_until(lambda: file.exists() and file.read_bytes(), 30), type=Counts)
