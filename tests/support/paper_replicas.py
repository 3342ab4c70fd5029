"""A real `ReplicaSet` with fake processes: the test decides what they report and when they die."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from consumers.channel.heartbeat import HeartbeatReading
from consumers.channel.messages import Activate, Done, Leave, Left, Message, Ready, Serving, StopOrder
from consumers.service import service
from consumers.supervision import aftermath, identities, member_state, replica_set, sizing
from consumers.supervision.member import Member
from consumers.supervision.member_state import MemberState
from models.canary import Versions
from standfast.core import backoff
from standfast.core.settings import Settings


class FakeLoop:
    """An event loop and a clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._number = itertools.count()
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, call, arguments, cast(asyncio.AbstractEventLoop, self))
        heapq.heappush(self._due, (timer.when(), next(self._number), timer))
        return timer

    def _timer_handle_cancelled(self, _timer: asyncio.TimerHandle) -> None:
        return

    def pass_time(self, seconds: float) -> None:
        """Calls what is due by then, in order."""
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            self.now, _, timer = heapq.heappop(self._due)
            if not timer.cancelled():
                timer._run()
        self.now = until


class PaperMember(MemberState):
    """A fake worker process as the replica set sees it; `received` are the messages sent to it and not obeyed yet."""

    def __init__(self, slot: str, model: str, nursery: PaperNursery) -> None:
        super().__init__(slot, model)
        self.nursery = nursery
        self.pid, self.fence = 4000, None
        self.received: list[Message] = []

    @property
    def heartbeat(self) -> PaperMember:
        return self

    def read(self) -> HeartbeatReading:
        return HeartbeatReading(0.0, None, ())

    @property
    def steps(self) -> PaperMember:
        return self

    @property
    def age_s(self) -> float:
        return 0.0

    def send(self, message: Message) -> bool:
        self.received.append(message)
        return True

    def kill(self) -> None:
        return


class PaperNursery:
    """A fake `NurseryHandle`."""

    def __init__(self, stage: ReplicaStage, versions: Versions) -> None:
        self._stage = stage
        self.versions = versions
        self.version = versions.champion
        self.model = ""
        self.started, self.ended, self.given_up = False, False, False
        self.refused, self.damaged, self.challenger_refused = False, False, False
        self.checks = 0
        self._members: dict[str, PaperMember] = {}
        stage.nurseries.append(self)

    @property
    def members(self) -> Any:
        return self._members.values()

    def start(self) -> None:
        assert not self.started, "a nursery is started once"
        self.started = True

    def fork(self, slot: str, _workers: int) -> PaperMember:
        assert self.model, "only a nursery with a model in memory can fork"
        assert not self.ended
        made = PaperMember(slot, self.model, self)
        self._members[slot] = made
        return made

    def kill(self) -> None:
        self._stage.fail(self)

    def check_weights(self) -> None:
        """It finds no damage."""
        self.checks += 1

    def forget_pending(self) -> None:
        return

    def stop(self) -> None:
        assert not self._members, f"{len(self._members)} live processes have lost the nursery of version {self.version}"
        self.ended = True


class ReplicaStage:
    """A replica set of a service with two workers and one standby, and everything that can happen to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = FakeLoop()
        self.nurseries: list[PaperNursery] = []
        for module in (backoff, identities, member_state, replica_set, sizing):
            monkeypatch.setattr(module, "time", self.loop)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        monkeypatch.setattr(replica_set, "NurseryHandle", lambda _service, versions, *_: PaperNursery(self, versions))
        monkeypatch.setattr(replica_set, "Orphans", lambda *_: self)
        monkeypatch.setattr(replica_set, "HangWatch", lambda *_: self)
        monkeypatch.setattr(aftermath.Aftermath, "prepare", lambda *_: None)
        monkeypatch.setattr(aftermath, "suspects_file", lambda _service: Path("/nowhere/suspects.json"))
        settings = Settings()
        self.replicas = replica_set.ReplicaSet(service("search", settings), settings, lambda: None, {})
        self.replicas.sizing.partitions = 4

    def start(self) -> None:
        """Replaces `HangWatch.start`: nothing hangs unless the test says so."""

    def look_later(self) -> None:
        """Replaces `Orphans.look_later`."""

    @property
    def loading(self) -> list[PaperNursery]:
        """Nurseries that are loading their model."""
        return [nursery for nursery in self.nurseries if nursery.started and not nursery.ended and not nursery.model]

    @property
    def alive(self) -> list[PaperNursery]:
        """Nurseries that can fork."""
        return [nursery for nursery in self.nurseries if nursery.model and not nursery.ended]

    @property
    def members(self) -> list[PaperMember]:
        """All worker and standby processes."""
        return [member for nursery in self.nurseries for member in nursery.members]

    def load(self, nursery: PaperNursery) -> None:
        """The nursery has loaded its model."""
        nursery.model = f"search@{nursery.version}"
        self.replicas.loaded(cast(Any, nursery), nursery.model)

    def hang(self, nursery: PaperNursery) -> None:
        """The nursery hangs; its worker processes live on."""
        self.replicas.nursery_hangs(cast(Any, nursery))

    def fail(self, nursery: PaperNursery) -> None:
        """The nursery ends; its worker processes live on."""
        nursery.ended = True
        self.replicas.nursery_failed(cast(Any, nursery), "it ended")

    def fail_with_its_processes(self, nursery: PaperNursery) -> None:
        """The nursery and its worker processes end, as when the machine has no memory left."""
        self.fail(nursery)
        for member in list(nursery.members):
            self.die(member)

    def die(self, member: PaperMember) -> None:
        """A worker process ends."""
        del member.nursery._members[member.slot]
        self.replicas.gone(cast(Member, member))

    def obey(self, member: PaperMember) -> bool:
        """The process does its next step; False if it has nothing to do."""
        if member.state == "starting" and member.identity is None and not member.received:
            self.replicas.received(cast(Member, member), Ready([]))
            return True
        if not member.received:
            return False
        order = member.received.pop(0)
        if isinstance(order, Activate):
            self.replicas.received(cast(Member, member), Serving({"search.requests": [0, 1]}))
        elif isinstance(order, StopOrder):
            self.replicas.received(cast(Member, member), Done())
            self.die(member)
        elif isinstance(order, Leave):
            self.replicas.received(cast(Member, member), Left())
            self.die(member)
        return True

    def settle(self) -> None:
        """Lets everything that was begun succeed, until nothing is left to do."""
        for _ in range(200):
            for nursery in self.loading:
                self.load(nursery)
            busy = [member for member in self.members if self.obey(member)]
            self.loop.pass_time(0.0 if busy else 2.0)
