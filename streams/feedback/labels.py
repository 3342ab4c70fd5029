"""Joins interactions with answers in the order of time, and writes the labels.

The two topics are read side by side, after a stop for minutes one perhaps far ahead of the other. So an interaction
waits until the answers are read up to its time. Until its label is in Kafka its offset is not committed: a process that
is killed meanwhile reads it again. The label's key is what it says, so that a label which is written again is the same
record of a compacted topic.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from schemas.records import Interaction, Label
from standfast.core import telemetry
from streams.feedback.shown import Shown, ShownAnswer
from streams.oldest_offsets import OldestOffsets, Partition
from streams.traffic import Reader, Traffic

_log = structlog.get_logger()
_EVERY_S = 0.25
# The consumer's view of a partition's end is up to one fetch old.
_GRACE_MS = 500
_MOST_WAITING = 50_000  # interactions; some 20 MB
_HOLD = "label"

Write = Callable[[Label], Awaitable[Awaitable[object]]]


class _Waiting(NamedTuple):
    source: Partition
    offset: int
    interaction: Interaction
    at: int  # when it happened
    written: int  # the time of its record


class Labels:
    """The join of one stream processor, on its event loop; `keep` False: there is none, and nothing is remembered.

    Args:
        results: the topics of answers, in full.
    """

    def __init__(
        self, oldest: OldestOffsets, traffic: Traffic, shown: Shown, results: Iterable[str], *, keep: bool
    ) -> None:
        self._oldest, self._traffic, self._shown = oldest, traffic, shown
        self._results = tuple(results)
        self._keep = keep
        self._waiting: deque[_Waiting] = deque()
        self._restored = False
        self._dropping = False

    def pause(self) -> None:
        """Forgets all: partitions are assigned anew, and interactions are read again from the committed offsets."""
        self._waiting.clear()
        self._shown.clear()
        self._restored = False

    def restart_from(self, earlier: Sequence[ShownAnswer]) -> None:
        """Goes on with the answers of before."""
        self._shown.restore(earlier)
        self._restored = True

    def answered(self, answer: ShownAnswer | None) -> None:
        """An answer was read for the first time."""
        if self._keep and answer is not None:
            self._shown.show(answer)
            telemetry.ANSWERS_SHOWN.labels(answer.service, answer.model).inc()

    def heard(self, source: Partition, offset: int, interaction: Interaction, written: int) -> None:
        """An interaction was read; call it before its offset is marked as processed."""
        if not self._keep:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._drop()
            return
        self._dropping = False
        happened = written if interaction.timestamp is None else interaction.timestamp
        self._oldest.hold(source, (_HOLD, offset), offset)
        self._waiting.append(_Waiting(source, offset, interaction, happened, written))

    async def follow(self, reader: Callable[[], Reader], now: Callable[[], int], write: Write) -> None:
        """Writes labels; ends only with an error, after which nothing may be committed."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self._shown.measure()
            if self._waiting and self._restored:
                await self._write(await self._due(reader(), now()), write)

    async def _due(self, reader: Reader, now: int) -> list[_Waiting]:
        """The interactions whose answers are read, in the order in which they came."""
        times = [await self._traffic.read_until(reader, topic) for topic in self._results]
        until = min([now - _GRACE_MS, *times])
        due: list[_Waiting] = []
        while self._waiting and self._waiting[0].written <= until:
            due.append(self._waiting.popleft())
        return due

    async def _write(self, due: Sequence[_Waiting], write: Write) -> None:
        labels = [self._shown.label(one.interaction, one.at) for one in due]
        deliveries = [await write(label) for label in labels if label is not None]
        for result in await asyncio.gather(*deliveries, return_exceptions=True):
            if isinstance(result, MessageSizeTooLargeError):
                _log.error("a label is larger than its topic allows")
            elif isinstance(result, BaseException):
                raise result
        for one in due:
            self._oldest.release(one.source, (_HOLD, one.offset))

    def _drop(self) -> None:
        telemetry.FEEDBACK_DROPPED.inc()
        if not self._dropping:
            _log.warning("interactions come faster than answers are read; some get no label", waiting=_MOST_WAITING)
        self._dropping = True
