"""The process that a bare takeover replaces: it answers, and is killed within a transaction.

Run as `python -m bench.failover.bare_member REQUESTS RESULTS GROUP`; settings come from the environment.
"""

from __future__ import annotations

import signal
import sys

from confluent_kafka import Consumer, Producer

from standfast.core import clients, settings

IDENTITY = "bare-0"
WITHIN_TRANSACTION = b"within a transaction\n"
_RECORD_S = 30.0  # for a record to arrive


def main(requests: str, results: str, group: str) -> None:
    """Reads one request, writes its answer, says so on stdout and waits to be killed before it commits."""
    configured = settings.load()
    producer = Producer(clients.transactional(configured, IDENTITY, f"{group}.{IDENTITY}"))
    producer.init_transactions()
    consumer = Consumer(clients.worker(configured, group, IDENTITY, "incumbent"))
    consumer.subscribe([requests])
    request = next_record(consumer)
    producer.begin_transaction()
    producer.produce(results, request)
    producer.flush()
    sys.stdout.buffer.write(WITHIN_TRANSACTION)
    sys.stdout.flush()
    while True:
        signal.pause()


def next_record(consumer: Consumer, within_s: float = _RECORD_S) -> bytes:
    """The next record's value; raises TimeoutError."""
    while (message := consumer.poll(within_s)) is not None:
        if message.error() is None:
            return message.value() or b""
    raise TimeoutError(f"no record was read within {within_s:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
