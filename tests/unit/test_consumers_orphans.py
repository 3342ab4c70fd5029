"""Looking after partitions that nobody has: whatever Kafka's client does, the thread that looks goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException

from consumers.service import service
from consumers.supervision import orphans
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until

SETTINGS = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))


class Passer:
    """A member of the group that is settled at once and never closes."""

    closing = threading.Event()

    def __init__(self, _config: dict[str, object]) -> None:
        self._settled: Any = None

    def subscribe(self, _topics: list[str], on_assign: Any) -> None:
        self._settled = on_assign

    def poll(self, _timeout: float) -> None:
        self._settled(self, [])

    def close(self) -> None:
        self.closing.wait()


def test_a_member_that_does_not_close_holds_up_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had subscribed, and librdkafka's close may wait for ever in an assignment that comes meanwhile."""
    monkeypatch.setattr(orphans, "Consumer", Passer)
    monkeypatch.setattr(orphans, "_CLOSE_S", 0.05)
    one = orphans.Orphans(service("search", SETTINGS), SETTINGS)
    shaking = threading.Thread(target=one._shake, args=("group",), daemon=True)
    with structlog.testing.capture_logs() as lines:
        shaking.start()
        shaking.join(30)
        assert not shaking.is_alive()
    Passer.closing.set()
    assert [line["event"] for line in lines] == ["a consumer does not close and is left to the end of its process"]


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without descriptors no client can be made; the thread ended, and no later takeover was looked after."""
    looked: list[str] = []

    def look(_one: object, topic: str) -> None:
        looked.append(topic)
        raise KafkaException(KafkaError(KafkaError._FAIL))

    monkeypatch.setattr(orphans.Orphans, "_look", look)
    monkeypatch.setattr(orphans, "_SETTLED_S", 0.01)
    monkeypatch.setattr(orphans, "_BULK_SETTLED_S", 0.01)
    one = orphans.Orphans(service("search", SETTINGS), SETTINGS)
    for times in (1, 2):
        one.look_later()
        wait_until(lambda: len(looked) == 2 * times, what="both groups looked at")  # noqa: B023
