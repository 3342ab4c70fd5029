"""The topics and the consumer group of the stream processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.topics import BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core.services import NAMES
from standfast.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Names:
    """Topics and group, with the prefix of the settings. `results`: the topics of answers, with their services."""

    group: str
    interactions: str
    dead_letters: str
    profiles: str
    traffic: str
    labels: str
    counted: tuple[str, ...]
    results: Mapping[str, str]

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic that has to exist."""
        return (self.interactions, self.dead_letters, self.profiles, self.traffic, self.labels, *self.counted)


def names(settings: Settings) -> Names:
    """The names for these settings."""
    prefix = settings.kafka.topic_prefix
    of_services = (f"{service}.{kind}" for service in NAMES for kind in ("requests", "results"))
    counted = tuple(prefix + BY_NAME[name].name for name in of_services)
    return Names(
        group=f"{prefix}standfast-stream",
        interactions=prefix + BY_NAME["interactions"].name,
        dead_letters=prefix + BY_NAME["interactions" + DEAD_LETTER_SUFFIX].name,
        profiles=prefix + BY_NAME["profiles"].name,
        traffic=prefix + BY_NAME["traffic"].name,
        labels=prefix + BY_NAME["labels"].name,
        counted=counted,
        results={prefix + BY_NAME[f"{service}.results"].name: service for service in NAMES},
    )
