"""Builds the codec for the settings: with a schema registry if one is configured."""

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
    """A codec; if a registry is configured, it reads the Confluent frame, and writes it for the given kinds.

    Args:
        sent: for each kind of record, the topic to which it is written.
        answers: the same for answers. A request is not `ready` before its answer's schema id is known.
        patience_s: how long to wait for a registry that does not answer; `PATIENCE_S` if None.

    Raises:
        SchemaError: the registry's URL is not valid.
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
