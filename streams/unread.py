"""Logs and counts records that Kafka deleted before they were read here, as `standfast.core.deleted` does."""

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
_POSITION_TIMEOUT_S = 0.5


class UnreadByStream(logging.Filter):
    """Finds deleted records in aiokafka's log: it tells only there, at level INFO, that it resets an offset."""

    def __init__(self) -> None:
        super().__init__()
        self._missing: dict[TopicPartition, int] = {}
        _FETCHER.setLevel(logging.INFO)
        _FETCHER.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown; notes the partition and offset of a line that tells of a reset."""
        if str(record.msg).startswith("Fetch offset %s is out of range") and isinstance(record.args, tuple):
            offset, tp = record.args
            if isinstance(offset, int) and isinstance(tp, TopicPartition):
                self._missing[tp] = min(offset, self._missing.get(tp, offset))
        return record.levelno >= logging.WARNING

    async def read(self, consumer: AIOKafkaConsumer, records: Mapping[Any, Sequence[Any]]) -> None:
        """Reports the records missed before `records`, or before the position of a partition without any."""
        for tp, missing in list(self._missing.items()):
            try:
                first_offset = records[tp][0].offset if tp in records else await _position(consumer, tp)
            except TimeoutError:
                continue
            except IllegalStateError:  # not assigned any more; its next reader finds the same gap
                first_offset = missing
            del self._missing[tp]
            report_deleted(tp.topic, tp.partition, missing, first_offset)


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    return int(await asyncio.wait_for(consumer.position(tp), _POSITION_TIMEOUT_S))
