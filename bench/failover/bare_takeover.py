"""What a takeover costs Kafka and its client alone: the least that any worker's replacement can take.

A process that has written an answer and not committed it is killed. This process, whose clients are connected as a
standby's are, then joins under the dead one's static identity, fences its transactions, fetches the request that was
under way, and commits its answer. No model, no supervisor, no other load.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.failover import bare_member
from bench.failover.bare_member import IDENTITY, WITHIN_TRANSACTION, next_record
from consumers.supervision.fencing import Fence
from standfast.core import clients
from standfast.core import settings as settings_module
from standfast.core.errors import ClusterError
from standfast.core.processes import launching
from standfast.core.settings import Settings

_CONNECTS_S = 0.3  # for the reader of the answers
_KAFKA_S = 30.0


def bare_takeovers(settings: Settings, rounds: int) -> list[float]:
    """For each round the milliseconds from the kill until a `read_committed` reader has the answer; blocks.

    Makes two topics of a name of its own on that Kafka and deletes them. Raises ClusterError if a process that is to
    be killed does not answer first.
    """
    with _topics(settings) as (requests, results):
        return [_takeover(settings, requests, results, f"{requests}.{number}") for number in range(rounds)]


@contextmanager
def _topics(settings: Settings) -> Iterator[tuple[str, str]]:
    """Topics for requests and answers; there is one request, which each round's group reads anew."""
    admin = AdminClient(clients.base(settings, "standfast-bench"))
    name = f"bare-{uuid.uuid4().hex[:8]}"
    requests, results = names = (f"{name}.requests", f"{name}.results")
    for made in admin.create_topics([NewTopic(topic, 1) for topic in names]).values():
        made.result(_KAFKA_S)
    asker = Producer(clients.producer(settings, "standfast-bench"))
    asker.produce(requests, b"the request under way")
    asker.flush(_KAFKA_S)
    try:
        yield requests, results
    finally:
        for deleted in admin.delete_topics(list(names)).values():
            deleted.result(_KAFKA_S)


def _takeover(settings: Settings, requests: str, results: str, group: str) -> float:
    heir = Producer(clients.transactional(settings, "heir", f"{group}.heir"))
    heir.init_transactions()
    fence = Fence(settings, f"{group}.{IDENTITY}")
    fence.connect()
    with closing(_at_the_end(settings, results)) as reader, _incumbent(settings, requests, results, group) as incumbent:
        began = time.monotonic()
        incumbent.kill()
        incumbent.wait()
        # Made only now, as by a standby: the identity that a consumer has is fixed when it is made.
        with (
            closing(Consumer(clients.worker(settings, group, IDENTITY, "heir"))) as consumer,
            ThreadPoolExecutor(1) as pool,
        ):
            # Kafka ends the dead one's transaction at once. librdkafka learns of it half a second later; nobody waits.
            pool.submit(fence.fence)
            _answer(heir, consumer, requests, results)
            next_record(reader)
            answered = time.monotonic()
        return (answered - began) * 1000


def _at_the_end(settings: Settings, results: str) -> Consumer:
    """A reader of the answers that come from now on, which has its connections."""
    reader = Consumer(clients.answers(settings, "standfast-bench"))
    _, end = reader.get_watermark_offsets(TopicPartition(results, 0), _KAFKA_S)
    reader.assign([TopicPartition(results, 0, end)])
    reader.poll(_CONNECTS_S)
    return reader


def _answer(heir: Producer, consumer: Consumer, requests: str, results: str) -> None:
    """Does what a standby does for the request that was under way."""
    consumer.subscribe([requests])
    request = next_record(consumer)
    heir.begin_transaction()
    heir.produce(results, request)
    heir.send_offsets_to_transaction(
        consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), _KAFKA_S
    )
    heir.commit_transaction(_KAFKA_S)


@contextmanager
def _incumbent(settings: Settings, requests: str, results: str, group: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process to be killed, once it is within its transaction."""
    environment = {**launching.environment(), **settings_module.environment(settings)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", bare_member.__name__, requests, results, group],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        if process.stdout is None or process.stdout.readline() != WITHIN_TRANSACTION:
            raise ClusterError("the process that was to be replaced ended before it had answered; its error is above")
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
