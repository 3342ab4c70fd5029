"""Fences a dead worker's transactional id, which ends its open transaction now and not after a time-out."""

from __future__ import annotations

import structlog
from confluent_kafka import KafkaException, Producer

from standfast.core import clients
from standfast.core.kafka_errors import error_of
from standfast.core.settings import Settings

_log = structlog.get_logger()
_CONNECT_S = 10.0
_FENCE_S = 10.0  # the longest wait in each attempt
_ATTEMPTS = 5


class Fence:
    """A client for fencing one transactional id, which is connected before it is needed.

    A client that is made only when the worker has died may find no connection for its first request, and librdkafka
    retries it 500 ms later: this happened in 5 % of all kills.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._id = transactional_id
        self._producer = Producer(clients.transactional(settings, f"{transactional_id}.fence", transactional_id))

    def connect(self) -> None:
        """Opens the connections; blocks."""
        try:
            self._producer.list_topics(timeout=_CONNECT_S)
        except KafkaException as exception:
            _log.warning("fencing client not connected yet", id=self._id, error=str(error_of(exception)))

    def fence(self) -> bool:
        """Ends the transaction that the id's last owner left open; blocks. False, and logged, if that failed."""
        for _ in range(_ATTEMPTS):
            try:
                self._producer.init_transactions(_FENCE_S)
            except KafkaException as exception:
                error = error_of(exception)
                _log.warning("not fenced yet", id=self._id, error=error.str())
                if error.fatal():
                    return False
            else:
                return True
        return False
