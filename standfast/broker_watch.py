"""Keeps the brokers of the embedded Kafka up: one that ended is started again, one that answers nothing is killed."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time

import structlog

from standfast.core import telemetry
from standfast.core.errors import StandfastError
from standfast.core.processes.deaths import Deaths, time_of_day
from standfast.core.status import RoleStatus
from standfast.kafka.broker import Node
from standfast.kafka.cluster import Cluster
from standfast.kafka.wire import CLIENT

_log = structlog.get_logger()
_AFTER_WRITE_OFF_S = 2.0  # a starting broker takes the processor from those that take over
_AGAIN_S = 10.0  # for one that keeps ending
_ASK_S = 1.0
_ANSWER_S = 5.0
_SAID_S = 10.0  # less may be a collection of garbage, or a machine with too much to do
# ApiVersions, version 0, with the correlation id 1: every broker answers it, at once and to anybody.
_QUESTION = struct.pack(">hhih", 18, 0, 1, len(CLIENT)) + CLIENT


class BrokerWatch:
    """Of one cluster, on the supervisor's asyncio loop; `stopping` ends it.

    Args:
        silent_after_s: a broker that answered before and does not for so long is killed; 0: never.
    """

    def __init__(self, cluster: Cluster, silent_after_s: float, stopping: asyncio.Event) -> None:
        self._cluster = cluster
        self._silent_after_s = silent_after_s
        self._stopping = stopping
        self._kept = {node.id: _Kept(node) for node in cluster.nodes}

    def look(self) -> None:
        """To be called many times a second: starts what ended, and the watch over each broker."""
        for kept in self._kept.values():
            if kept.asking is None:
                kept.asking = asyncio.create_task(self._ask(kept))
            if not kept.node.alive and kept.reviving is None:
                kept.reviving = asyncio.create_task(self._revive(kept))

    def rows(self) -> list[RoleStatus]:
        """How each broker is."""
        return [kept.row(self._silent_after_s) for kept in self._kept.values()]

    async def _ask(self, kept: _Kept) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(_ASK_S)
            began = time.monotonic()
            answered = kept.node.alive and await answers(kept.node.address)
            kept.heard(answered, _ASK_S + min(time.monotonic() - began, _ANSWER_S))
            if kept.node.alive and 0 < self._silent_after_s < kept.silent_s and not self._stopping.is_set():
                kept.why = f"it answered nothing for {kept.silent_s:.0f} s and was killed"
                _log.warning("broker hangs and is killed", broker=kept.node.id, silent_s=round(kept.silent_s, 1))
                kept.node.end()
                kept.silent_s = 0.0

    async def _revive(self, kept: _Kept) -> None:
        """First the others take over from the dead broker, which they would else miss only after a while."""
        node, deaths = kept.node, kept.deaths
        deaths.died(kept.why or node.last_words())
        kept.why = ""
        telemetry.ROLE_RESTARTS.labels(kept.name).inc()
        began = time.monotonic()
        try:
            taken_over = await asyncio.to_thread(self._cluster.write_off, node)
            took = round(time.monotonic() - began, 2)
            _log.warning("broker ended and is started again", broker=node.id, written_off=taken_over, after_s=took)
            await asyncio.sleep(_AFTER_WRITE_OFF_S if taken_over else _AGAIN_S if deaths.failing else 0.0)
        finally:
            if not self._stopping.is_set():
                kept.launch()
            kept.reviving = None


class _Kept:
    """One broker, and what is known of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = f"kafka-{node.id}"
        self.deaths = Deaths(self.name)
        self.asking: asyncio.Task[None] | None = None
        self.reviving: asyncio.Task[None] | None = None
        self.why = ""
        self.silent_s = 0.0
        self._has_answered = False
        self._silent_since = 0

    def launch(self) -> None:
        """Starts it again; one that cannot be is one that ended once more."""
        self.silent_s, self._has_answered, self._silent_since = 0.0, False, 0
        try:
            self.node.launch()
        except (StandfastError, OSError) as error:
            self.why = f"it cannot be started: {error}"
            _log.warning("broker cannot be started", broker=self.node.id, error=str(error))
        else:
            self.deaths.lives()

    def heard(self, answered: bool, within_s: float) -> None:
        """It was asked, and answered or not. While it starts it may take what it needs to read its log again."""
        if answered or not self.node.alive:
            self.silent_s, self._silent_since = 0.0, 0
            self._has_answered = answered
        elif self._has_answered:
            self.silent_s += within_s  # added up, so that a pause of this very process does not count
            self._silent_since = self._silent_since or int((time.time() - within_s) * 1000)
        self.deaths.still(self.silent_s)

    def row(self, silent_after_s: float) -> RoleStatus:
        """How it is."""
        return RoleStatus(
            id=self.name,
            pid=self.node.pid or 0,
            state="running" if self.node.alive else "starting",
            restarts=self.deaths.count,
            failing=self.deaths.failing or self._silence(silent_after_s),
            since=self.deaths.since or self._silent_since,
            ended=self.deaths.last,
        )

    def _silence(self, silent_after_s: float) -> str:
        if self.silent_s < _SAID_S:
            return ""
        since = time_of_day(self._silent_since)
        limit = f"; after {silent_after_s:g} s it is killed and started again" if silent_after_s else ""
        return f"{self.name} runs but has answered nothing since {since}{limit}"


async def answers(address: str, within_s: float = _ANSWER_S) -> bool:
    """Whether a broker answers in time. One that is stopped takes connections all the same: the kernel does it."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(struct.pack(">i", len(_QUESTION)) + _QUESTION)
                await reader.readexactly(4)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        return False
    except OSError as error:  # our own lack of descriptors or memory says nothing about the broker
        _log.warning("a broker cannot be asked", address=address, error=str(error))
    return True
