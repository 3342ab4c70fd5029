"""What is served: one service is one request topic, one result topic, one consumer group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.records import RecommendRequest, SearchRequest
from schemas.topics import BY_NAME, DEAD_LETTER_SUFFIX
from standfast.errors import UsageError
from standfast.settings import Settings

Name = Literal["search", "recommend"]
Request = SearchRequest | RecommendRequest
NAMES: tuple[Name, ...] = ("search", "recommend")
_KINDS: dict[Name, type[Request]] = {"search": SearchRequest, "recommend": RecommendRequest}


@dataclass(frozen=True, slots=True)
class Service:
    """The names a service goes by in Kafka, and the limits of one request."""

    name: Name
    kind: type[Request]
    requests: str
    results: str
    dead_letters: str
    group: str
    workers: int
    standbys: int
    batch: int
    max_k: int

    def worker_id(self, number: int) -> str:
        """The name of one of its workers in answers, status and metrics: `search-0`."""
        return f"{self.name}-{number}"


def service(name: str, settings: Settings) -> Service:
    """The service of that name as the settings want it; raises UsageError for any other name."""
    if name not in NAMES:
        raise UsageError(f"there is no service {name!r}; there are {', '.join(NAMES)}")
    prefix = settings.kafka.topic_prefix
    own = settings.search if name == "search" else settings.recommend
    requests = BY_NAME[f"{name}.requests"].name
    return Service(
        name=name,
        kind=_KINDS[name],
        requests=prefix + requests,
        results=prefix + BY_NAME[f"{name}.results"].name,
        dead_letters=prefix + requests + DEAD_LETTER_SUFFIX,
        group=f"{prefix}standfast-{name}",
        workers=own.workers,
        standbys=own.standbys,
        batch=own.batch,
        max_k=own.max_k,
    )
