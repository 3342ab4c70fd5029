"""Offsets of a topic that was deleted and created again do not count for the new topic."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest

from standfast.core.settings import KafkaSettings, Settings
from streams import identities
from streams.identities import TopicIds
from streams.names import names

NAMES = names(Settings(kafka=KafkaSettings(topic_prefix="t.")))
IDS = {"t.interactions": "i1", "t.profiles": "p1", "t.search.requests": "s1"}


def noted(**changed: str) -> TopicIds:
    """The topic ids above, with these changed."""
    ids = TopicIds(NAMES)
    ids.note({**IDS, **{f"t.{name}": number for name, number in changed.items()}})
    return ids


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"interactions": "i2"}, False),
        ({"profiles": "p2"}, False),  # the profiles made up to these offsets were deleted with the topic
        ({"search.requests": "s2"}, True),
    ],
)
def test_offsets_of_interactions_end_with_either_topic(changed: dict[str, str], fits: bool) -> None:
    stamp = noted().stamp("t.interactions")
    assert noted(**changed).fits("t.interactions", stamp) is fits


def test_offsets_of_a_counted_topic_end_with_that_topic() -> None:
    stamp = noted().stamp("t.search.requests")
    assert noted(profiles="p2").fits("t.search.requests", stamp)
    assert not noted(**{"search.requests": "s2"}).fits("t.search.requests", stamp)


def test_offsets_without_a_stamp_are_used() -> None:
    assert noted().fits("t.interactions", ""), "committed by an earlier version"
    assert TopicIds(NAMES).fits("t.interactions", "i1 p1"), "Kafka does not say which topic there is now"


def test_a_topic_made_again_has_the_partitions_assigned_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [IDS, {}, {**IDS, "t.interactions": "i2"}, {**IDS, "t.interactions": "i2"}]
    rejoin = MagicMock()
    monkeypatch.setattr(identities, "ids_of", lambda *_: answers.pop(0) if answers else IDS)
    monkeypatch.setattr(identities, "_COMPARE_EVERY_S", 0)

    async def watch() -> None:
        watching = asyncio.create_task(noted().watch(MagicMock(), rejoin))
        while answers:
            await asyncio.sleep(0)
        watching.cancel()

    asyncio.run(watch())
    assert rejoin.call_count == 1
