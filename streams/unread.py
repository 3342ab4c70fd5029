"""What Kafka deleted before the stream processor had read it, as `standfast.core.deleted` tells it for the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition

from standfast.core.deleted import report_deleted

_FETCHER = logging.getLogger("aiokafka.consumer.fetcher")
_ANSWER_S = 0.5


class UnreadByStream(logging.Filter):
    """aiokafka too says only in its log, and below the level that is shown, that it goes on at what is left."""

    def __init__(self) -> None:
        super().__init__()
        self._missing: dict[TopicPartition, int] = {}
        _FETCHER.setLevel(logging.INFO)
        _FETCHER.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be shown; notes the offset where it names one that is gone."""
        if str(record.msg).startswith("Fetch offset %s is out of range") and isinstance(record.args, tuple):
            offset, place = record.args
            if isinstance(offset, int) and isinstance(place, TopicPartition):
                self._missing[place] = min(offset, self._missing.get(place, offset))
        return record.levelno >= logging.WARNING

    async def read(self, consumer: AIOKafkaConsumer, records: Mapping[Any, Sequence[Any]]) -> None:
        """Tells of what was missed before these records, or where none came yet, before those to come."""
        for place, missing in list(self._missing.items()):
            try:
                first = records[place][0].offset if place in records else await _position(consumer, place)
            except TimeoutError:
                continue
            except IllegalStateError:  # it was given up; whoever reads it next finds the same
                first = missing
            del self._missing[place]
            report_deleted(place.topic, place.partition, missing, first)


async def _position(consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
    return int(await asyncio.wait_for(consumer.position(place), _ANSWER_S))
