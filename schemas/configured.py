"""The codec as the settings want it: with a schema registry where one is configured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from schemas.codec import Codec
from schemas.records import Record
from standfast.core.home import folder
from standfast.core.settings import Settings

Topics = Mapping[type[Record], str]
_NONE: Topics = MappingProxyType({})


def codec_for(
    settings: Settings, *, sent: Topics = _NONE, answers: Topics = _NONE, patience_s: float | None = None
) -> Codec:
    """A codec that reads the Confluent frame, and writes it for the kinds named, if there is a registry.

    Args:
        sent: the topic to which records of each kind are written.
        answers: the same for records that answer what is read, which is not ready before they can be written.
        patience_s: how long to wait for a registry that is away; its usual patience if None.

    Raises:
        SchemaError: the registry's address is none.
    """
    url = settings.schema_registry_url
    if url is None:
        return Codec()
    from schemas.registry import PATIENCE_S, SchemaRegistry  # 0.3 s of imports

    registry = SchemaRegistry(url.get_secret_value(), folder("schemas"), patience_s or PATIENCE_S)
    for kind, topic in sent.items():
        registry.declare(kind, topic)
    for kind, topic in answers.items():
        registry.declare(kind, topic, answers=True)
    return Codec(registry)
