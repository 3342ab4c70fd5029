"""The stream processor's agents where Kafka takes nothing: a crash, unless it is stopping anyway."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, MagicMock

import pytest

from schemas.codec import Codec
from streams.agents import Agents
from streams.ledger import Ledger

GONE = ConnectionError("the producer has ended")


@pytest.mark.parametrize(("stopping", "crashes"), [(False, 1), (True, 0)])
def test_a_profile_that_cannot_be_written_is_a_crash_unless_it_stops(stopping: bool, crashes: int) -> None:
    app = MagicMock(should_stop=stopping, crash=AsyncMock())
    keeper = MagicMock(write_changes=AsyncMock(side_effect=GONE))
    agents = Agents(app, MagicMock(), Codec(), Ledger(), keeper, MagicMock())
    agents.attach()
    write_profiles = app.task.call_args_list[0].args[0]
    asyncio.run(write_profiles())
    assert [one.args for one in app.crash.await_args_list] == [(GONE,)] * crashes
