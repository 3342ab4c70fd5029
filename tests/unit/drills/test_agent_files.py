"""The agent's files: a fault that is about to be injected is in one until it is undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.agent import files
from drills.agent.files import FaultIntent, decoded, encoded
from drills.agent.messages import FaultName
from drills.faults.injector import Target
from standfast.core.errors import SetupError, Unreadable
from tests.support.toys import toy_fault

TOPIC = "x.drills.orders"


def an_intent(drill_id: str = "d1", topic: str = TOPIC, number: int = 0) -> FaultIntent:
    name = FaultName(drill_id=drill_id, number=number, host="here-1")
    return FaultIntent(name, topic, "search", "mark", toy_fault.MARK.aim(), Target("mark", (), ((0, 1),)))


def names() -> list[str]:
    return sorted(path.name for path in files._folder().iterdir())


@given(st.text(max_size=10), st.integers(0, 2**31))
def test_what_is_written_is_read_again(drill_id: str, number: int) -> None:
    intent = an_intent(drill_id.encode("utf-8", "ignore").decode(), number=number)
    assert decoded(encoded(intent)) == intent


@given(st.binary(max_size=60) | st.integers(0, 80).map(lambda at: encoded(an_intent())[:at]))
def test_anything_else_is_unreadable_and_never_an_error_of_another_kind(text: bytes) -> None:
    with pytest.raises(Unreadable):
        decoded(text)


def test_a_file_is_there_until_it_is_forgotten_and_another_systems_is_left_alone(state: Path) -> None:
    ours, second, foreign = an_intent(), an_intent(number=1), an_intent(topic="y.drills.orders")
    for intent in (ours, second, foreign):
        files.keep(intent)
    assert sorted(files.kept(TOPIC), key=lambda intent: intent.name.number) == [ours, second]
    files.forget(TOPIC, ours.name)
    files.forget(TOPIC, ours.name)
    assert files.kept(TOPIC) == [second]
    assert files.kept("y.drills.orders") == [foreign]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda good: good[:-1],
        lambda good: good.replace(b'"version":1', b'"version":2'),
        lambda good: good.replace(b'"drill_id":"d1"', b'"drill_id":"d2"'),
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
    ],
    ids=["empty", "cut", "later", "foreign name", "no text", "deep"],
)
def test_what_cannot_be_read_is_moved_aside_once(state: Path, damage: Any) -> None:
    files.keep(an_intent())
    (name,) = names()
    path = files._folder() / name
    path.write_bytes(damage(path.read_bytes()))
    assert files.kept(TOPIC) == []
    assert names() == [f"{name}.unreadable"]
    assert files.kept(TOPIC) == []


def test_what_cannot_be_undone_is_moved_aside(state: Path) -> None:
    intent = replace(an_intent(), fault="of-a-later-version")
    files.keep(intent)
    files.put_aside(TOPIC, intent.name, "not known")
    files.put_aside(TOPIC, intent.name, "not known")
    (name,) = names()
    assert name.endswith(".unreadable")


def test_where_there_can_be_no_folder_nothing_is_read_and_nothing_ends(state: Path) -> None:
    files._folder().rmdir()
    (state / "drills" / "intents").write_bytes(b"")
    assert files.kept(TOPIC) == []
    files.forget(TOPIC, an_intent().name)
    files.put_aside(TOPIC, an_intent().name, "why")
    with pytest.raises(SetupError):
        files.keep(an_intent())
