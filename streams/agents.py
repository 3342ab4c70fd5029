"""The Faust agents: they count the records of five topics, and make profiles and labels of interactions."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

import faust
import structlog
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import Codec, Encoding, sniff
from schemas.dead_letters import dead_letter_headers
from schemas.records import Interaction, Label, Record, Result, TrafficWindow
from schemas.times import record_ms
from standfast.core import telemetry
from standfast.core.errors import SchemaError, Unreadable
from streams.erasures import MARK
from streams.feedback.labels import Labels
from streams.feedback.shown import shown_answer
from streams.interactions import check
from streams.keeper import Keeper
from streams.names import Names
from streams.oldest_offsets import OldestOffsets, Partition
from streams.traffic import Traffic
from streams.unpacking import Damaged

_log = structlog.get_logger()
_WORKER = "stream"
_PUBLISH_EVERY_S = 0.25
R = TypeVar("R", bound=Record)


class Agents:
    """Processes each record and writes what is derived from it. `attach` declares the agents on the app's topics."""

    def __init__(
        self,
        app: faust.App,
        names: Names,
        codec: Codec,
        oldest: OldestOffsets,
        keeper: Keeper,
        traffic: Traffic,
        labels: Labels,
    ) -> None:
        self.app = app
        self.oldest = oldest
        self.keeper = keeper
        self.traffic = traffic
        self.labels = labels
        self._names = names
        self._codec = codec
        self._profiles = _raw(app, names.profiles)
        self._windows = _raw(app, names.traffic)
        self._labels = _raw(app, names.labels)
        self._dead_letters = _raw(app, names.dead_letters)

    def attach(self) -> None:
        """Declares the agents and the three tasks beside them."""
        self.app.agent(_raw(self.app, self._names.interactions), name="interactions", concurrency=1)(self._interactions)
        self.app.agent(_raw(self.app, *self._names.counted), name="traffic", concurrency=1)(self._count_traffic)
        self.app.task(self._write_profiles)
        self.app.task(self._publish_windows)
        self.app.task(self._write_labels)

    async def _interactions(self, stream: Any) -> None:
        async for event in stream.events():
            message, epoch = event.message, self.oldest.epoch
            source, offset, at = origin_of(message)
            interaction, error = await self._read(message.value, Interaction)
            if self.oldest.epoch != epoch or not self.oldest.is_new(source, offset):
                continue
            # No await from here to `mark_processed`, so that a restart of the state sees all of a record or nothing.
            self.traffic.count(source, offset, at, _now())
            try:
                if interaction is not None:
                    error = self._folded(source, offset, interaction, at)
                    if error is None:
                        self.labels.heard(source, offset, interaction, at)
            except sqlite3.Error as storage_error:  # not the record's fault; it is read again after the restart
                await self.app.crash(storage_error)
                return
            if error is not None:
                self.oldest.hold(source, _dead_letter_hold(offset), offset)
            self.oldest.mark_processed(source, offset)
            if error is not None:
                await self._to_dead_letters(message, source, offset, at, error)

    def _folded(self, source: Partition, offset: int, interaction: Interaction, at: int) -> Exception | None:
        try:
            check(interaction, at)
            if self.keeper.fold(source, offset, interaction, at):
                telemetry.PROFILE_UPDATES.inc()
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - the agent must go on with the next record
            return error
        return None

    async def _count_traffic(self, stream: Any) -> None:
        async for event in stream.events():
            epoch = self.oldest.epoch
            source, offset, at = origin_of(event.message)
            answer = None
            if isinstance(event.message.value, Damaged):
                telemetry.DAMAGED.labels(source[0]).inc()
                reason = event.message.value.reason
                _log.error("damaged records passed over", topic=source[0], partition=source[1], reason=reason)
            elif source[0] in self._names.results:
                answer, error = await self._read(event.message.value, Result)
                if error is not None:
                    _log.warning(
                        "not an answer", topic=source[0], partition=source[1], offset=offset, reason=str(error)
                    )
            if self.oldest.epoch == epoch and self.oldest.is_new(source, offset):
                self.traffic.count(source, offset, at, _now(), answer)
                if answer is not None:
                    written = min(at, _now())  # anybody may write a time of the year 9999
                    told = shown_answer(self._names.results[source[0]], event.message.key, answer, written)
                    self.labels.answered(told)
                self.oldest.mark_processed(source, offset)

    async def _read(self, data: bytes | None, kind: type[R]) -> tuple[R | None, Exception | None]:
        try:
            if isinstance(data, Damaged):
                raise Unreadable(data.reason)
            if data and sniff(data) is Encoding.CONFLUENT:  # may wait for the registry
                return (await asyncio.to_thread(self._codec.decode, data, kind))[0], None
            return self._codec.decode(data, kind)[0], None
        except Exception as error:  # noqa: BLE001 - the agent must go on with the next record
            return None, error

    async def _to_dead_letters(self, message: Any, source: Partition, offset: int, at: int, error: Exception) -> None:
        kind = "invalid" if isinstance(error, SchemaError) else type(error).__name__
        telemetry.FAILURES.labels(source[0], kind).inc()
        _log.warning("interaction set aside", topic=source[0], partition=source[1], offset=offset, reason=str(error))
        absent_value = None if message.key is not None else b""  # aiokafka refuses a record with neither key nor value
        try:
            delivery = await self._dead_letters.send(
                key=message.key,
                value=absent_value if message.value is None else bytes(message.value),
                headers=dead_letter_headers(message.headers, str(error), *source, offset, at, _WORKER),
            )
        except Exception as send_error:  # noqa: BLE001 - else this agent alone would end, and nothing would tell
            await self.app.crash(send_error)
            return
        delivery.add_done_callback(partial(self._on_dead_letter_sent, source, offset))

    def _on_dead_letter_sent(self, source: Partition, offset: int, delivery: asyncio.Future[Any]) -> None:
        error = None if delivery.cancelled() else delivery.exception()
        if isinstance(error, MessageSizeTooLargeError):
            _log.error("dead letter is larger than its topic allows", topic=source[0], offset=offset)
        elif delivery.cancelled() or error is not None:
            return  # stays held, so it is not committed and is read again
        self.oldest.release(source, _dead_letter_hold(offset))

    async def _write_profiles(self) -> None:
        await self._or_crash("profiles", self.keeper.write_changes(self._write_profile))

    async def _write_labels(self) -> None:
        await self._or_crash("labels", self.labels.follow(lambda: self.app.consumer, _now, self._write_label))

    async def _or_crash(self, what: str, writing: Awaitable[None]) -> None:
        try:
            await writing
        except Exception as error:  # noqa: BLE001 - no offset may be committed of which something was not written
            if self.app.should_stop:  # the producer has stopped; interactions that were not written are read again
                _log.info(f"{what} not written any more", reason=f"{type(error).__name__}: {error}")
            else:
                await self.app.crash(error)

    async def _write_label(self, label: Label) -> Any:
        key = f"{label.service}/{label.request_id}/{label.item_id}/{label.event}"
        return await self._labels.send(key=key.encode(errors="replace"), value=self._codec.encode(label, Encoding.JSON))

    async def _write_profile(self, partition: int, user: bytes, data: bytes | None) -> Any:
        headers = [MARK] if data is None else None
        return await self._profiles.send(key=user, value=data, partition=partition, headers=headers)

    async def _publish_windows(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_EVERY_S)
            await self.traffic.publish_due(self.app.consumer, _now(), self._publish_window)

    async def _publish_window(self, window: TrafficWindow) -> None:
        data = self._codec.encode(window, Encoding.JSON)
        await (await self._windows.send(key=window.topic.encode(), value=data))


def _dead_letter_hold(offset: int) -> tuple[str, int]:
    return "dead letter", offset


def _raw(app: faust.App, *names: str) -> Any:
    """A topic of bytes that Faust neither decodes nor commits; `streams.oldest_offsets` has the offsets to commit."""
    return app.topic(*names, key_serializer="raw", value_serializer="raw", acks=False)


def origin_of(message: Any) -> tuple[Partition, int, int]:
    """The partition, offset and timestamp (epoch milliseconds) of one of Faust's messages."""
    at = record_ms(round((message.timestamp or 0) * 1000))
    return (message.topic, message.partition), message.offset, at


def _now() -> int:
    return time.time_ns() // 1_000_000
