"""The stream processor's agents while Kafka takes no records: the app crashes, unless it is stopping anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, MagicMock

import pytest

from schemas.codec import Codec
from streams.agents import Agents
from streams.oldest_offsets import OldestOffsets

GONE = ConnectionError("the producer has ended")


@pytest.mark.parametrize(("stopping", "crashes"), [(False, 1), (True, 0)])
def test_a_profile_that_cannot_be_written_is_a_crash_unless_it_stops(stopping: bool, crashes: int) -> None:
    app = MagicMock(should_stop=stopping, crash=AsyncMock())
    keeper = MagicMock(write_changes=AsyncMock(side_effect=GONE))
    agents = Agents(app, MagicMock(), Codec(), OldestOffsets(), keeper, MagicMock(), MagicMock())
    agents.attach()
    write_profiles = app.task.call_args_list[0].args[0]
    asyncio.run(write_profiles())
    assert [call.args for call in app.crash.await_args_list] == [(GONE,)] * crashes


@pytest.mark.parametrize(
    ("key", "value", "sent"),
    [(None, None, b""), (b"k", None, None), (None, b"x", b"x")],  # aiokafka sends none without key and value
)
def test_a_record_of_nothing_at_all_is_set_aside_too(
    key: bytes | None, value: bytes | None, sent: bytes | None
) -> None:
    app = MagicMock(crash=AsyncMock())
    letters = MagicMock(send=AsyncMock(return_value=MagicMock()))
    _interactions(app, letters, key, value)
    assert [(call.kwargs["key"], call.kwargs["value"]) for call in letters.send.await_args_list] == [(key, sent)]
    assert app.crash.await_args_list == []


def test_what_cannot_be_set_aside_is_a_crash_and_not_the_silent_end_of_one_agent() -> None:
    app = MagicMock(crash=AsyncMock())
    _interactions(app, MagicMock(send=AsyncMock(side_effect=GONE)), b"k", b"no interaction")
    assert [call.args for call in app.crash.await_args_list] == [(GONE,)]


def _interactions(app: MagicMock, letters: MagicMock, key: bytes | None, value: bytes | None) -> None:
    """Has the interactions agent read one record with this key and value."""
    app.topic.return_value = letters
    oldest = OldestOffsets()
    oldest.rewound()
    agents = Agents(app, MagicMock(), Codec(), oldest, MagicMock(), MagicMock(), MagicMock())
    message = MagicMock(topic="interactions", partition=0, offset=0, timestamp=1.7e9, key=key, value=value, headers=[])

    async def events() -> AsyncIterator[MagicMock]:
        yield MagicMock(message=message)

    asyncio.run(agents._interactions(MagicMock(events=events)))
