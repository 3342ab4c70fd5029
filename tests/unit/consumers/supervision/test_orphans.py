"""The search for partitions without an owner: its thread goes on whatever errors the Kafka client raises."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumers.service import service
from consumers.supervision import orphans
from standfast.core.settings import KafkaSettings, Settings
from tests.waiting import wait_until

SETTINGS = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))


class Passer:
    """A consumer that gets its assignment at once, and leaves the group unless `leaves` is False."""

    leaves = True
    steps: ClassVar[list[str]] = []

    def __init__(self, _config: dict[str, object]) -> None:
        self._settled: Any = None
        self._member = "passer-1"

    def subscribe(self, _topics: list[str], on_assign: Any) -> None:
        self._settled = on_assign

    def unsubscribe(self) -> None:
        self.steps.append("left" if self.leaves else "stayed")
        self._member = "" if self.leaves else self._member

    def memberid(self) -> str:
        return self._member

    def poll(self, _timeout: float) -> None:
        self._settled(self, [])

    def close(self) -> None:
        self.steps.append("closed")


@pytest.mark.parametrize(("leaves", "steps"), [(True, ["left", "closed"]), (False, ["stayed"])])
def test_a_member_is_closed_only_when_it_has_left(
    monkeypatch: pytest.MonkeyPatch, leaves: bool, steps: list[str]
) -> None:
    """An assignment that comes during `Consumer.close` stops every thread of the supervisor for ever."""
    monkeypatch.setattr(orphans, "Consumer", Passer)
    monkeypatch.setattr(orphans, "_LEAVE_S", 0.05)
    monkeypatch.setattr(Passer, "leaves", leaves)
    monkeypatch.setattr(Passer, "steps", [])
    orphans.Orphans(service("search", SETTINGS), SETTINGS)._rebalance("group")
    assert Passer.steps == steps


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without free file descriptors no client can be created: the thread ended, and no later takeover was checked."""
    looked: list[str] = []

    def look(_orphans: object, topic: str) -> None:
        looked.append(topic)
        raise KafkaException(KafkaError(KafkaError._FAIL))

    monkeypatch.setattr(orphans.Orphans, "_look", look)
    monkeypatch.setattr(orphans, "_SETTLED_S", 0.01)
    monkeypatch.setattr(orphans, "_BULK_SETTLED_S", 0.01)
    watch = orphans.Orphans(service("search", SETTINGS), SETTINGS)
    for times in (1, 2):
        watch.look_later()
        wait_until(lambda: len(looked) == 2 * times, what="both groups looked at")  # noqa: B023
