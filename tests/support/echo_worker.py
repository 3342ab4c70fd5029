"""A small worker without a model: writes each answer and its offset in one transaction, until it is killed.

Run as `python tests/support/echo_worker.py SERVERS PREFIX WORKER PARTITIONS MODE`. MODE is `once`, `twice` (writes each
answer twice), `swapped` (gives each request the answer to the request before it) or `silent` (answers nothing). It
prints a line when it serves. It imports nothing of Standfast, so that it starts quickly and depends on Kafka alone.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

LAST: list[list[dict[str, object]]] = [[]]  # for `swapped`: the products of the request before


def committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """The committed offsets; asks again while the broker, just started, is not the group's coordinator yet."""
    for _ in range(100):
        try:
            return consumer.committed(partitions, 20)
        except KafkaException:
            time.sleep(0.1)
    return consumer.committed(partitions, 20)


def serve(servers: str, prefix: str, worker: str, partitions: list[int], mode: str) -> None:
    """Answers requests of these partitions; never returns."""
    common = {"bootstrap.servers": servers, "transactional.id": prefix + worker, "retry.backoff.ms": 10}
    producer = Producer({**common, "retry.backoff.max.ms": 20, "partitioner": "murmur2_random"})
    producer.init_transactions(20)
    group = {"bootstrap.servers": servers, "group.id": f"{prefix}echo", "enable.auto.commit": False}
    consumer = Consumer({**group, "auto.offset.reset": "earliest"})
    positions = committed(consumer, [TopicPartition(f"{prefix}search.requests", number) for number in partitions])
    for position in positions:
        position.offset = max(position.offset, 0)
    consumer.assign(positions)
    print("serving", flush=True)  # noqa: T201 - read by the test
    while True:
        messages = [message for message in consumer.consume(50, 0.01) if message.error() is None]
        if messages and mode != "silent":
            answer(messages, producer, consumer, worker, mode, prefix)


def answer(
    messages: list[Message], producer: Producer, consumer: Consumer, worker: str, mode: str, prefix: str
) -> None:
    producer.begin_transaction()
    offsets: dict[int, int] = {}
    for message in messages:
        request = json.loads(message.value())
        items = [{"item_id": str(number), "score": 1.0, "title": ""} for number in range(request["k"])]
        LAST.append(items)
        shown = LAST.pop(0) if mode == "swapped" else LAST.pop()
        result = {"request_id": request["request_id"], "status": "ok", "worker": worker, "items": shown}
        for _ in range(2 if mode == "twice" else 1):
            producer.produce(f"{prefix}search.results", json.dumps(result), message.key())
        offsets[message.partition()] = message.offset() + 1
    next_offsets = [TopicPartition(f"{prefix}search.requests", number, offset) for number, offset in offsets.items()]
    producer.send_offsets_to_transaction(next_offsets, consumer.consumer_group_metadata(), 20)
    producer.commit_transaction(20)


if __name__ == "__main__":
    its_servers, its_prefix, name, numbers, how = sys.argv[1:]
    serve(its_servers, its_prefix, name, [int(number) for number in numbers.split(",")], how)
