"""Finds the Kafka to connect to: the configured one, else that of the system running on this machine."""

from __future__ import annotations

from standfast.core import status
from standfast.core.errors import ClusterError
from standfast.core.settings import Settings


def located(settings: Settings) -> Settings:
    """The settings with `kafka.bootstrap_servers` filled in; raises ClusterError if none is configured or running."""
    if settings.kafka.bootstrap_servers:
        return settings
    running = status.read()
    if running is None:
        raise ClusterError(
            "no system is running here; start it with `standfast up --detach`, or name an existing Kafka in "
            "KAFKA_BOOTSTRAP_SERVERS"
        )
    if not running.bootstrap_servers:
        raise ClusterError(f"the system is {running.state}, its Kafka not ready yet; see `standfast status`")
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": running.bootstrap_servers})
    return settings.model_copy(update={"kafka": kafka})
