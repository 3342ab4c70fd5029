"""The plain loop with a transaction for each batch, as the client's documentation shows it, with default settings."""

from __future__ import annotations

from confluent_kafka import Producer

from bench.peers.computing import Computing, Json
from bench.peers.plain import batches, consumer_of
from bench.peers.task import Task, given


def main(task: Task) -> None:
    """Serves until it is killed."""
    consumer = consumer_of(task)
    producer = Producer({"bootstrap.servers": task.servers, "transactional.id": task.group})
    producer.init_transactions()
    json, computing = Json(task.service), Computing(task)
    for messages in batches(consumer, task.requests, task.batch):
        results = computing.results([json.request.decode(message.value() or b"") for message in messages])
        producer.begin_transaction()
        for message, result in zip(messages, results, strict=True):
            producer.produce(task.results, json.written(result), message.key())
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    main(given())
