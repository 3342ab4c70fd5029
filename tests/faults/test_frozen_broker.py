"""A broker of the embedded Kafka stopped by SIGSTOP is reported in the status, and later killed and restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from standfast.broker_watch import BrokerWatch
from standfast.core.status import RoleStatus
from standfast.kafka.cluster import Cluster


def test_a_frozen_broker_is_said_and_left_for_its_time_then_started_again(tmp_path: Path) -> None:
    async def life(cluster: Cluster) -> None:
        stopping = asyncio.Event()
        watch = BrokerWatch(cluster, 20.0, stopping)

        async def until(condition: Callable[[RoleStatus], bool], what: str) -> RoleStatus:
            deadline = time.monotonic() + 180
            while True:
                watch.look()
                (row,) = watch.rows()
                if condition(row):
                    return row
                assert time.monotonic() < deadline, f"waited in vain for {what}: {row}"
                await asyncio.sleep(0.05)

        (kept,) = watch._kept.values()
        try:
            await until(lambda _row: kept._has_answered, "an answer")
            first = watch.rows()[0].pid
            os.kill(first, signal.SIGSTOP)
            frozen = await until(lambda row: bool(row.failing), "a word about it")
            assert frozen.failing.startswith("kafka-1 runs but has answered nothing since ")
            assert frozen.failing.endswith("; after 20 s it is killed and started again")
            assert (frozen.pid, frozen.restarts) == (first, 0), "whoever stopped it has time to let it go on"
            os.kill(first, signal.SIGCONT)
            await until(lambda row: not row.failing, "an answer")
            assert watch.rows()[0].pid == first
            os.kill(first, signal.SIGSTOP)
            again = await until(lambda row: row.restarts == 1 and row.state == "running", "another process")
            assert again.pid != first
            assert again.ended.startswith("it answered nothing for ")
            await until(lambda _row: kept._has_answered, "an answer of the new one")
        finally:
            stopping.set()

    with Cluster(brokers=1, folder=tmp_path / "kafka") as cluster:
        asyncio.run(life(cluster))
