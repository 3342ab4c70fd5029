"""10,000 requests from a plain client to the whole system with its real models, while workers are killed."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from drills.evidence.shop_words import QUERIES, USERS
from standfast.core import status
from standfast.core.processes import launching
from standfast.core.status import SystemStatus
from tests.waiting import wait_until

EACH = 5000
KILL_EVERY_S = 5.0
IN_FLIGHT = 200


@pytest.fixture
def system(trained_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemStatus]:
    """`standfast up` with the sample shop's models, on its own state folder."""
    home = tmp_path / "home"
    shutil.copytree(trained_shop / "models", home / "models")
    monkeypatch.setenv("STANDFAST_HOME", str(home))
    monkeypatch.setenv("STANDFAST_METRICS__PORT", "0")
    process = launching.start_detached([])
    try:
        yield launching.wait_ready(process, print)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_requests_come_back_once_while_a_worker_is_killed_every_five_seconds(system: SystemStatus) -> None:
    """5,000 searches and 5,000 recommendations from a plain client: none lost, none seen twice."""
    seen: Counter[str] = Counter()
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(system.bootstrap_servers, seen, stop))
    killer = threading.Thread(target=_kill, args=(stop,))
    reader.start()
    killer.start()
    try:
        sent = _send(system.bootstrap_servers, seen)
        wait_until(lambda: sent <= seen.keys(), 300, what="every request answered")
        time.sleep(KILL_EVERY_S)  # time for a second answer to come
    finally:
        stop.set()
        reader.join()
        killer.join()
    assert len(sent) == 2 * EACH
    assert {request_id: count for request_id, count in seen.items() if count != 1} == {}
    assert seen.keys() == sent


def _send(servers: str, seen: Counter[str]) -> set[str]:
    """Sends to both services in turn, with at most `IN_FLIGHT` requests unanswered; returns the request ids."""
    producer = Producer({"bootstrap.servers": servers})
    sent: set[str] = set()
    words = zip(range(EACH), itertools.cycle(QUERIES), itertools.cycle(USERS), strict=False)
    for number, query, user in words:
        searching, advising = f"s-{number}", f"r-{number}"
        producer.produce("search.requests", json.dumps({"request_id": searching, "query": query}), searching)
        producer.produce("recommend.requests", json.dumps({"request_id": advising, "user_id": user}), user)
        sent |= {searching, advising}
        producer.poll(0)
        while len(sent) - len(seen) > IN_FLIGHT:
            producer.poll(0.01)
    assert producer.flush(60) == 0
    return sent


def _read(servers: str, seen: Counter[str], stop: threading.Event) -> None:
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": "ten-thousand",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    })  # fmt: skip
    consumer.subscribe(["search.results", "recommend.results"])
    while not stop.is_set():
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            answer = json.loads(message.value() or b"")
            assert answer["status"] == "ok", answer
            seen[answer["request_id"]] += 1
    consumer.close()


def _kill(stop: threading.Event) -> None:
    """Kills a random serving worker with SIGKILL every `KILL_EVERY_S`."""
    while not stop.wait(KILL_EVERY_S):
        running = status.read()
        serving = [worker for worker in running.workers if worker.state == "serving"] if running else []
        if serving:
            os.kill(random.choice(serving).pid, signal.SIGKILL)
