"""The outcome stream's writer, with scripted producers: a call that never returns stops neither runner nor events."""

from __future__ import annotations

import threading
from typing import cast

import pytest
from confluent_kafka import Producer, TopicPartition

from drills.control import journal as journal_module
from drills.control.events import rejection
from drills.control.journal import Journal, JournalEntry
from schemas.codec import Codec
from standfast.core import backoff
from standfast.core.settings import KafkaSettings, Settings


class WritingProducer:
    """Records its calls; with `never`, its call that sends offsets blocks until that is set."""

    def __init__(self, never: threading.Event | None) -> None:
        self.calls: list[str] = []
        self._never = never

    def init_transactions(self, _timeout: float) -> None:
        self.calls.append("init")

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def produce(self, topic: str, *_: object, **__: object) -> None:
        self.calls.append(f"produce {topic}")

    def send_offsets_to_transaction(self, positions: list[TopicPartition], *_: object) -> None:
        self.calls.append(f"offsets {[position.offset for position in positions]}")
        if self._never is not None:
            self._never.wait(60)

    def commit_transaction(self, _timeout: float) -> None:
        self.calls.append("commit")

    def poll(self, _timeout: float) -> int:
        return 0

    def purge(self) -> None:
        self.calls.append("purge")


def test_offsets_that_never_come_back_are_given_up_and_the_events_are_written_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the death of a single broker the runner stood still until the supervisor killed it, a minute later."""
    assert journal_module._OFFSETS_S < journal_module._TIMEOUT_S / 3
    monkeypatch.setattr(journal_module, "_OFFSETS_S", 0.05)
    monkeypatch.setattr(backoff, "_TRIES_S", (0.0,))
    never = threading.Event()
    producers = [WritingProducer(never), WritingProducer(None)]
    made = iter(producers)
    monkeypatch.setattr(Journal, "_built", lambda _self: cast(Producer, next(made)))
    monkeypatch.setattr(Journal, "_is_written", lambda _self, _event: False)
    journal = Journal(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")), Codec(), lambda: False)
    journal.connect()
    offsets = (TopicPartition("drills.control", 0, 6),)
    journal.write(JournalEntry((rejection("d1", "worker-kill", "refused"),), offsets=offsets))
    never.set()
    once = ["init", "begin", "produce drills.results", "offsets [6]"]
    assert [call for call in producers[0].calls if call != "purge"] == once
    assert producers[1].calls == [*once, "commit"]
