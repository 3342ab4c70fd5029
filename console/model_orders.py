"""From the fields of a form to a record in `models` that has every host serve another version.

The console has no other way to change what serves: what it writes, any program may write.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException

from console.drill_orders import requester
from consumers.versions.kafka_wire import KafkaWire
from consumers.versions.records import TOPIC, ChampionKey
from models import registry
from models.activations import Activation, before, sealed_activation
from standfast.core.errors import ClusterError, ModelError
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """A version that is to serve.

    `manifest`: its digest; `instead_of`: the active one here, if any; `back`: it is the one that served before.
    """

    name: str
    version: int
    manifest: str
    instead_of: int | None
    back: bool

    @property
    def label(self) -> str:
        """As `search@3`."""
        return f"{self.name}@{self.version}"


def order_of(fields: Mapping[str, str]) -> ModelOrder:
    """The order in a form: `model`, with `version`, or with `back` = yes for the version that served before.

    `manifest`, if given, must be the version's. Raises ModelError, IntegrityError. Reads files: call it in a thread.
    """
    name, text, back = fields.get("model", ""), fields.get("version", ""), fields.get("back") == "yes"
    if name not in registry.names():
        raise ModelError(f"there is no model {name[:100]!r} in this machine's state folder")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ModelError(f"version = {text[:100]!r} is no number")
    active = registry.active(name)
    earlier = next(iter(registry.served_before(name, active or 0)), None)
    if back and earlier is None:
        raise ModelError(f"{name} has no version to go back to")
    version = earlier if back and earlier is not None else int(text or 0)
    manifest = registry.manifest_of(name, version)
    if fields.get("manifest", manifest.digest) != manifest.digest:
        raise ModelError(f"{manifest.label} is not what was shown; look at the preview again")
    return ModelOrder(name, version, manifest.digest, active, back)


def send(order: ModelOrder, settings: Settings) -> None:
    """Writes the record; blocks for ten seconds at most; raises ClusterError, ModelError."""
    now = registry.activation(order.name)
    earlier = before(now, order.version)
    if order.back and now is not None and order.version in now.before:
        earlier = now.before[: len(now.before) - 1 - now.before[::-1].index(order.version)]
    at = time.time_ns() // 1_000_000
    wanted = Activation(order.version, earlier, order.manifest, at, requester())
    try:
        KafkaWire(settings, threading.Event()).tell(ChampionKey(order.name), sealed_activation(order.name, wanted))
    except KafkaException as error:
        raise ClusterError(
            f"Kafka at {settings.kafka.bootstrap_servers} did not take the record: {error_of(error).str()}"
        ) from None


def line(order: ModelOrder, settings: Settings) -> str:
    """The command line that writes the same with kafka-console-producer."""
    said = f'{ChampionKey(order.name).text}\\t{{"version": {order.version}}}\\n'
    topic = shlex.quote(settings.kafka.topic_prefix + TOPIC)
    producer = f"standfast kafka console-producer --topic {topic} --reader-property parse.key=true"
    return f"printf {shlex.quote(said)} | {producer}"
