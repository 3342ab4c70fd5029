"""The limit of the Kafka client: consume and produce exactly once with our client settings, without a model."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, Producer

from bench.peers.computing import Json
from bench.peers.plain import batches
from bench.peers.task import Task, given
from schemas.records import Item, Result
from standfast.core import clients, settings

_ID = "the request's id is inserted here"
_ITEM = Item(item_id="85123A", score=1.234567890123, title="WHITE HANGING HEART T-LIGHT HOLDER")


def main(task: Task) -> None:
    """Answers each request with the same ten products, until it is killed."""
    configured = settings.load()
    consumer = Consumer(clients.consumer(configured, "bare", task.group))
    producer = Producer(clients.transactional(configured, "bare", task.group))
    producer.init_transactions()
    head, tail = Json(task.service).written(Result(request_id=_ID, status="ok", items=[_ITEM] * 10)).split(_ID.encode())
    task.computes_here()
    for messages in batches(consumer, task.requests, task.batch):
        producer.begin_transaction()
        for message in messages:
            producer.produce(task.results, head + (message.key() or b"") + tail, message.key())
        positions = consumer.position(consumer.assignment())
        retried(producer.send_offsets_to_transaction, positions, consumer.consumer_group_metadata())
        retried(producer.commit_transaction)


def retried(call: Callable[..., None], *arguments: object) -> None:
    """Repeats a call while its error is retriable: a single time-out once ended a whole comparison."""
    while True:
        try:
            return call(*arguments)
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


if __name__ == "__main__":
    main(given())
