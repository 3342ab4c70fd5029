"""A small worker that really answers: read committed, answer and offset in one transaction, until it is killed.

Run as `python -m tests.support.echo_worker SERVERS PREFIX WORKER PARTITIONS MODE`; MODE is `once`, `twice` (every
answer is written twice) or `silent` (nothing is answered). It writes a line on stdout when it serves.
"""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.codec import Codec
from schemas.records import Result, SearchRequest
from standfast import clients
from standfast.settings import KafkaSettings, Settings


def serve(settings: Settings, worker: str, partitions: list[int], mode: str) -> None:
    """Never returns."""
    prefix = settings.kafka.topic_prefix
    producer = Producer(clients.transactional(settings, worker, f"{prefix}{worker}"))
    producer.init_transactions(20)
    consumer = Consumer(clients.consumer(settings, worker, f"{prefix}echo"))
    mine = [TopicPartition(f"{prefix}search.requests", number) for number in partitions]
    places = consumer.committed(mine, 10)
    for place in places:
        place.offset = max(place.offset, 0)
    consumer.assign(places)
    print("serving", flush=True)  # noqa: T201 - read by the test
    while True:
        messages = [one for one in consumer.consume(50, 0.01) if one.error() is None]
        if messages and mode != "silent":
            answer(messages, producer, consumer, worker, 2 if mode == "twice" else 1, prefix)


def answer(
    messages: list[Message], producer: Producer, consumer: Consumer, worker: str, times: int, prefix: str
) -> None:
    codec = Codec()
    producer.begin_transaction()
    offsets: dict[int, int] = {}
    for message in messages:
        request, encoding = codec.decode(message.value(), SearchRequest)
        result = Result(request_id=request.request_id or "", status="ok", worker=worker)
        for _ in range(times):
            producer.produce(f"{prefix}search.results", codec.encode(result, encoding), message.key())
        offsets[message.partition()] = message.offset() + 1
    ahead = [TopicPartition(f"{prefix}search.requests", number, offset) for number, offset in offsets.items()]
    producer.send_offsets_to_transaction(ahead, consumer.consumer_group_metadata(), 10)
    producer.commit_transaction(10)


if __name__ == "__main__":
    servers, its_prefix, name, numbers, how = sys.argv[1:]
    own = Settings(kafka=KafkaSettings(bootstrap_servers=servers, topic_prefix=its_prefix))
    serve(own, name, [int(number) for number in numbers.split(",")], how)
