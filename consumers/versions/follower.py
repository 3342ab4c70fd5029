"""Follows the topic `models`, and has this host keep to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from confluent_kafka import KafkaException

from consumers.following.follower import Following, TopicCopier
from consumers.versions import notes, records
from consumers.versions.host_versions import HostVersions
from consumers.versions.kafka_wire import KafkaWire
from consumers.versions.known import Known
from consumers.versions.records import Entry, Place
from models import registry
from schemas.codec import Codec
from standfast.core import status
from standfast.core.consumed import Consumed
from standfast.core.home import folder
from standfast.core.hosts.host_key import host_key
from standfast.core.kafka_errors import error_of
from standfast.core.services import NAMES
from standfast.core.settings import Settings

_log = structlog.get_logger()
_LOOK_S = 0.5  # how often the folder is looked at


class VersionFollower(TopicCopier[Entry]):
    """Keeps this host's models and the topic the same."""

    name = records.TOPIC

    def __init__(self, settings: Settings, codec: Codec, stores: Path, stop: threading.Event) -> None:
        super().__init__(settings, codec, stores, stop)
        self._host = host_key(settings)
        self._wire = KafkaWire(settings, stop)
        self._here: HostVersions | None = None
        self._looked_at = 0.0
        self._names: Callable[[], set[str]] = _of_this_host
        self._noted: dict[str, str] = {}

    def join(self, names: set[str]) -> None:
        """Follows until this host serves what the topic names of these models, or the topic names nothing of them.

        Ends too when Kafka or the topic is not there, or `stop` is set.
        """
        self._names = lambda: names
        try:
            self._follow(self._source())
        except KafkaException as error:
            _log.info("no other host's models are known", reason=error_of(error).str())

    def _opened(self, identity: str) -> Known:
        self._here = HostVersions(self._host, identity, self._wire, folder("models", ".followed"), _served)
        return Known(self._stores / identity)

    def _change(self, partition: int, message: Consumed) -> Entry | None:
        place = Place(partition, message.offset())
        try:
            return records.read(message.key(), message.value(), place, message.timestamp()[1])
        except records.Refused as refused:
            about = {"partition": partition, "offset": message.offset(), "reason": str(refused)}
            _log.warning("a record of the topic models is passed over", **about)
            return None

    def _measured(self, store: Following[Entry], *, complete: bool) -> None:
        """Nothing is measured: `standfast_model_refused` and the workers' rows tell what serves."""

    def _act(self, store: Following[Entry], *, complete: bool, news: bool) -> None:
        if not complete or not isinstance(store, Known) or self._here is None:
            return
        if news or time.monotonic() - self._looked_at > _LOOK_S:
            self._looked_at = time.monotonic()
            names = self._names() & set(NAMES)
            self._note(self._here.step(sorted(names), store))
            if self._names is not _of_this_host and all(map(self._is_settled(store), names)):
                self._stop.set()

    def _is_settled(self, known: Known) -> Callable[[str], bool]:
        """Whether a joining host has what the topic names of a model, or it names nothing."""
        return lambda name: known.champion(name) is None or (bool(registry.names()) and not self._noted.get(name))

    def _note(self, found: dict[str, str]) -> None:
        if found != self._noted:
            for name, text in found.items():
                if text and text != self._noted.get(name):
                    _log.info("the topic models is not followed yet", service=name, reason=text)
            notes.write(found)
            self._noted = dict(found)


def _of_this_host() -> set[str]:
    """The models that are served here, or lie here."""
    running = status.read()
    served = {row.name for row in running.services} if running is not None else set()
    return served | set(registry.names())


def _served(name: str) -> set[str] | None:
    """The versions of a model that processes of this host serve; None while some have not said yet."""
    running = status.read()
    if running is None:
        return None if status.is_running() else set()
    labels = {row.model for row in running.workers if row.service == name}
    starting = not labels and name in {row.name for row in running.services}
    return None if starting or "" in labels else labels
