"""FastStream with default settings: a batch subscriber with its own polling interval and acknowledgement."""

from __future__ import annotations

import asyncio

import msgspec
from faststream import FastStream
from faststream.confluent import KafkaBroker

from bench.peers.computing import Computing, kind
from bench.peers.task import Task, given


def application(task: Task) -> FastStream:
    """The application: one handler from request to result topic, a function that FastStream runs in a thread."""
    computing, request = Computing(task), kind(task.service)
    broker = KafkaBroker(task.servers)

    def handle(bodies: list[dict]) -> list[dict]:  # type: ignore[type-arg]
        results = computing.results([msgspec.convert(body, request) for body in bodies])
        return [msgspec.to_builtins(result) for result in results]

    subscriber = broker.subscriber(
        task.requests, group_id=task.group, auto_offset_reset="earliest", batch=True, max_records=task.batch
    )
    subscriber(broker.publisher(task.results, batch=True)(handle))
    return FastStream(broker)


if __name__ == "__main__":
    asyncio.run(application(given()).run())
