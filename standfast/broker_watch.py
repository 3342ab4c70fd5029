"""Keeps the brokers of the embedded Kafka running: restarts one that ended, kills one that stopped answering."""

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
_AFTER_UNREGISTER_S = 2.0  # a starting JVM would take processor time from the brokers and workers that take over
_AGAIN_S = 10.0  # wait before each restart of a broker that keeps ending
_ASK_S = 1.0  # between two requests to a broker
_ANSWER_S = 5.0  # for a broker's answer
_SAID_S = 10.0  # a shorter silence, from a garbage collection or an overloaded machine, is not reported
# ApiVersions, version 0, correlation id 1: every broker answers it at once, without authentication.
_REQUEST = struct.pack(">hhih", 18, 0, 1, len(CLIENT)) + CLIENT


class BrokerWatch:
    """Watches one cluster's brokers, on the supervisor's asyncio loop, until `stopping` is set.

    Args:
        silent_after_s: a broker that has answered once and then is silent for this many seconds is killed; 0: never.
    """

    def __init__(self, cluster: Cluster, silent_after_s: float, stopping: asyncio.Event) -> None:
        self._cluster = cluster
        self._silent_after_s = silent_after_s
        self._stopping = stopping
        self._kept = {node.id: _Kept(node) for node in cluster.nodes}

    def look(self) -> None:
        """Restarts brokers that ended and starts asking those not asked yet; call it many times a second."""
        for kept in self._kept.values():
            if kept.asking is None:
                kept.asking = asyncio.create_task(self._ask(kept))
            if not kept.node.alive and kept.reviving is None:
                kept.reviving = asyncio.create_task(self._revive(kept))

    def rows(self) -> list[RoleStatus]:
        """The status of each broker."""
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
        """Unregisters the dead broker, so that the others take over at once, then starts it again.

        Without that the controller waits for the end of the broker's session (1.5 s).
        """
        node, deaths = kept.node, kept.deaths
        deaths.died(kept.why or node.last_words())
        kept.why = ""
        telemetry.ROLE_RESTARTS.labels(kept.name).inc()
        began = time.monotonic()
        try:
            taken_over = await asyncio.to_thread(self._cluster.unregister, node)
            took = round(time.monotonic() - began, 2)
            _log.warning("broker ended and is started again", broker=node.id, unregistered=taken_over, after_s=took)
            await asyncio.sleep(_AFTER_UNREGISTER_S if taken_over else _AGAIN_S if deaths.failing else 0.0)
        finally:
            if not self._stopping.is_set():
                kept.launch()
            kept.reviving = None


class _Kept:
    """One broker with its deaths, its silence and the tasks that ask and restart it."""

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
        """Starts the broker again; a start that fails counts as another death."""
        self.silent_s, self._has_answered, self._silent_since = 0.0, False, 0
        try:
            self.node.launch()
        except (StandfastError, OSError) as error:
            self.why = f"it cannot be started: {error}"
            _log.warning("broker cannot be started", broker=self.node.id, error=str(error))
        else:
            self.deaths.started()

    def heard(self, answered: bool, within_s: float) -> None:
        """Notes whether the broker answered a request within `within_s` seconds.

        Silence counts only after a first answer: a starting broker may recover its log for minutes.
        """
        if answered or not self.node.alive:
            self.silent_s, self._silent_since = 0.0, 0
            self._has_answered = answered
        elif self._has_answered:
            self.silent_s += within_s  # summed per request, so that a pause of this process does not count
            self._silent_since = self._silent_since or int((time.time() - within_s) * 1000)
        self.deaths.idle(self.silent_s)

    def row(self, silent_after_s: float) -> RoleStatus:
        """The broker's status."""
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
    """Whether a broker answers a request within `within_s` seconds.

    A connection alone proves nothing: the kernel accepts connections for a process stopped by SIGSTOP too.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(struct.pack(">i", len(_REQUEST)) + _REQUEST)
                await reader.readexactly(4)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        return False
    except OSError as error:  # this process lacks descriptors or memory, which says nothing about the broker
        _log.warning("a broker cannot be asked", address=address, error=str(error))
    return True
