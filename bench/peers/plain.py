"""A plain loop as written by hand: poll, drain, compute, produce, flush, commit; at least once."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, Message, Producer

from bench.peers.computing import Computing, Json
from bench.peers.task import Task, given

_WAIT_S = 1.0  # of one poll for the first record


def batches(consumer: Consumer, topic: str, size: int) -> Iterator[list[Message]]:
    """Yields batches of at most `size` records, endlessly: waits for the first record, then takes what there is."""
    consumer.subscribe([topic])
    while True:
        first = consumer.poll(_WAIT_S)
        if first is None:
            continue
        messages = [message for message in (first, *consumer.consume(size - 1, 0)) if message.error() is None]
        if messages:
            yield messages


def consumer_of(task: Task) -> Consumer:
    """A consumer with librdkafka's defaults but no automatic commit."""
    return Consumer(
        {
            "bootstrap.servers": task.servers,
            "group.id": task.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def main(task: Task) -> None:
    """Serves until it is killed."""
    consumer, producer = consumer_of(task), Producer({"bootstrap.servers": task.servers})
    json, computing = Json(task.service), Computing(task)
    for messages in batches(consumer, task.requests, task.batch):
        results = computing.results([json.request.decode(message.value() or b"") for message in messages])
        for message, result in zip(messages, results, strict=True):
            producer.produce(task.results, json.written(result), message.key())
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main(given())
