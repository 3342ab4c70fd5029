"""Copies the topic `catalogue` into the store of this host."""

from __future__ import annotations

import structlog

from consumers.catalogue import products
from consumers.catalogue.store import CatalogueStore, Record, opened
from consumers.following.follower import Following, TopicCopier
from standfast.core import telemetry
from standfast.core.consumed import Consumed

_log = structlog.get_logger()


class CatalogueFollower(TopicCopier[Record]):
    """Keeps the host's store of changed products up to date."""

    name = "catalogue"

    def _opened(self, identity: str) -> CatalogueStore:
        return opened(self._stores, identity)

    def _change(self, partition: int, message: Consumed) -> Record | None:
        try:
            change = products.read(message.key(), message.value(), self._codec)
        except products.Refused as refused:
            telemetry.CATALOGUE_UNREADABLE.labels(refused.reason).inc()
            about = {"partition": partition, "offset": message.offset(), "reason": str(refused)[:300]}
            _log.warning("a record of the catalogue is passed over", **about)
            return None
        return Record(change, partition, message.timestamp()[1])

    def _measured(self, store: Following[Record], *, complete: bool) -> None:
        telemetry.CATALOGUE_COMPLETE.set(complete)
        if isinstance(store, CatalogueStore):
            changed, deleted = store.counts()
            telemetry.CATALOGUE_PRODUCTS.labels("changed").set(changed)
            telemetry.CATALOGUE_PRODUCTS.labels("deleted").set(deleted)
