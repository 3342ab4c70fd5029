"""A service: one request topic, one result topic and one consumer group, and the same again for bulk requests."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import ServiceRequest
from schemas.topics import BULK_SUFFIX, BY_NAME, DEAD_LETTER_SUFFIX
from standfast.core.services import resolved, spec_of
from standfast.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """The topics and groups of a service in Kafka, and the limits of its requests, batches and workers."""

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
        """The topic of the answers to this topic's requests."""
        return self.bulk_results if topic == self.bulk_requests else self.results

    def group_of(self, topic: str) -> str:
        """The group that reads this topic."""
        return self.bulk_group if topic == self.bulk_requests else self.group

    def worker_id(self, number: int) -> str:
        """The identity of one of its workers in answers, status and metrics: `search-0`."""
        return f"{self._on_host}-{number}"

    @property
    def worker_ids(self) -> list[str]:
        """The identities of all its workers."""
        return [self.worker_id(number) for number in range(self.workers)]

    def slot(self, number: int) -> str:
        """The name of one of its processes, which keeps it whichever identity it serves under: `search-s0`."""
        return f"{self._on_host}-s{number}"

    @property
    def _on_host(self) -> str:
        return f"{self.name}-{self.host}" if self.host else self.name


def service(name: str, settings: Settings) -> Service:
    """The service of that name with its settings; raises UsageError if there is no such service."""
    spec = spec_of(name)
    prefix = settings.kafka.topic_prefix
    section = settings.service(name)
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
        workers=section.min_workers if section.workers == "auto" else section.workers,
        standbys=section.standbys,
        batch=section.batch,
        batch_bytes=section.batch_bytes,
        max_wait_ms=section.max_wait_ms,
        newest_first=section.order == "newest",
        max_k=section.max_k,
        cache=section.cache,
        host=settings.workers.host,
    )
