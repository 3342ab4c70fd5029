"""What is served: one service is one request topic, one result topic, one consumer group."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import ServiceRequest
from schemas.topics import BULK_SUFFIX, BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core.services import resolved, spec_of
from standfast.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """The names a service goes by in Kafka, and the limits of one request."""

    name: str
    kind: type[ServiceRequest]
    requests: str
    results: str
    bulk_requests: str
    bulk_results: str
    dead_letters: str
    group: str
    workers: int
    standbys: int
    batch: int
    batch_bytes: int
    max_wait_ms: int
    newest_first: bool
    max_k: int
    cache: int
    host: str

    @property
    def bulk_group(self) -> str:
        """The group that reads bulk requests."""
        return f"{self.group}-bulk"

    def results_of(self, topic: str) -> str:
        """Where the answers to requests of this topic go."""
        return self.bulk_results if topic == self.bulk_requests else self.results

    def group_of(self, topic: str) -> str:
        """The group that reads this topic."""
        return self.bulk_group if topic == self.bulk_requests else self.group

    def worker_id(self, number: int) -> str:
        """The name of one of its workers in answers, status and metrics: `search-0`."""
        return f"{self._on_host}-{number}"

    @property
    def worker_ids(self) -> list[str]:
        """The names of all its workers."""
        return [self.worker_id(number) for number in range(self.workers)]

    def slot(self, number: int) -> str:
        """The name of one of its processes, whatever identity it has: `search-s0`."""
        return f"{self._on_host}-s{number}"

    @property
    def _on_host(self) -> str:
        return f"{self.name}-{self.host}" if self.host else self.name


def service(name: str, settings: Settings) -> Service:
    """The service of that name as the settings want it; raises UsageError for any other name."""
    spec = spec_of(name)
    prefix = settings.kafka.topic_prefix
    own = settings.service(name)
    requests = BY_NAME[f"{name}.requests"].name
    return Service(
        name=name,
        kind=resolved(spec.request),
        requests=prefix + requests,
        results=prefix + BY_NAME[f"{name}.results"].name,
        bulk_requests=prefix + BY_NAME[requests + BULK_SUFFIX].name,
        bulk_results=prefix + BY_NAME[f"{name}.results{BULK_SUFFIX}"].name,
        dead_letters=prefix + requests + DEAD_LETTER_SUFFIX,
        group=f"{prefix}standfast-{name}",
        workers=own.min_workers if own.workers == "auto" else own.workers,
        standbys=own.standbys,
        batch=own.batch,
        batch_bytes=own.batch_bytes,
        max_wait_ms=own.max_wait_ms,
        newest_first=own.order == "newest",
        max_k=own.max_k,
        cache=own.cache,
        host=settings.workers.host,
    )
