"""The librdkafka configurations of all our clients, and why they differ from the defaults.

The user's `KAFKA_*` settings win over these, except for the keys in `clients_fixed`, which are refused at the start.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from standfast.core.clients_fixed import changeable, refuse_fixed
from standfast.core.deleted import ClientLog
from standfast.core.errors import SettingsError
from standfast.core.settings import Settings

Config = dict[str, Any]  # as the stubs of Producer and Consumer have it
# Finds a new leader within 0.5 s. By default librdkafka asks for it when it loses the old one, which may be too soon,
# and then once a second; and it may drop the new leader from its metadata again, together with the dead broker. Answers
# then reached a caller up to 2 s after a broker's death, long after the workers had gone on.
_FINDS_LEADERS = {"topic.metadata.refresh.interval.ms": 250}
_NUMERIC_KEY = re.compile(r"`([a-z.]+(?:\.ms|\.bytes))`")  # its value is a number, so no secret, and may be shown
_log = ClientLog()


def base(settings: Settings, client_id: str) -> Config:
    """An admin client, or a probe: neither produces nor consumes."""
    return {**_common(settings, client_id), **changeable(settings.kafka.client_settings)}


def _common(settings: Settings, client_id: str) -> Config:
    """The settings common to all clients, without the user's, which each caller adds last."""
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": client_id,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,  # default 10 s: a restarted broker would be found up to 10 s later
        "socket.timeout.ms": 10_000,  # default 60 s
        "topic.metadata.refresh.fast.interval.ms": 20,  # default 100; it delayed a takeover's first fetch
        "retry.backoff.ms": 20,  # default 100: before a new leader is asked for again; doubled each time
        "retry.backoff.max.ms": 100,  # default 1 s
        "metadata.recovery.rebootstrap.trigger.ms": 5_000,  # default 5 min
        "logger": _log,
    }


def check(settings: Settings) -> None:
    """Builds one client of each kind; raises SettingsError, before anything starts, if librdkafka refuses a setting."""
    user_settings = settings.kafka.client_settings
    if not user_settings:
        return
    refuse_fixed(user_settings)
    from confluent_kafka import Consumer, KafkaException

    plain: Config = {"group.id": "check", **user_settings}
    config = plain
    try:
        for build, config in (*_every_kind(settings), (Consumer, plain)):
            build({**config, "bootstrap.servers": "", "logger": logging.Logger("unheard", logging.CRITICAL + 1)})
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str().strip() if isinstance(error, KafkaException) else str(error)
        values = "".join(f"; {name} is {config[name]}" for name in _NUMERIC_KEY.findall(reason) if name in config)
        raise SettingsError(
            f"Kafka's client refuses a setting: {reason}{values}; correct or unset KAFKA_<NAME>, with _ for each dot, "
            "or kafka.client in the settings file"
        ) from None


def _every_kind(settings: Settings) -> list[tuple[Callable[[Config], object], Config]]:
    """One configuration of each kind: a transactional producer, for one, bounds `socket.timeout.ms`; others do not."""
    from confluent_kafka import Consumer, Producer

    return [
        (Consumer, worker(settings, "check", "check", "check")),
        (Consumer, answers(settings, "check")),
        (Producer, transactional(settings, "check", "check")),
        (Producer, replies(settings, "check")),
        (Producer, requests(settings, "check")),
        (Producer, status(settings, "check")),
    ]


def consumer(settings: Settings, client_id: str, group: str, **more: object) -> Config:
    """A consumer in a group, without automatic commits, that reads committed records only."""
    return {
        **_common(settings, client_id),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # A record ends the wait at once; the end of a partition is told after it. At 100 ms the fetches of the drill
        # runner, while no drill ran, took 0.2 % of a core.
        "fetch.wait.max.ms": 500,
        # A reader that has lost its partition's leader, and was told of none, asks again after so long; default five
        # minutes: so long the drill runner once read no command after connections had been reset.
        "topic.metadata.refresh.interval.ms": 5_000,
        "fetch.error.backoff.ms": 20,  # default 500: a takeover waited so long after one NOT_LEADER answer
        "fetch.message.max.bytes": 4_194_304,
        "queued.max.messages.kbytes": 16_384,  # default 64 MiB per client; bounds the memory of fetched records
        "partition.assignment.strategy": "cooperative-sticky",
        **more,
        **changeable(settings.kafka.client_settings),
    }


def producer(settings: Settings, client_id: str, **more: object) -> Config:
    """An idempotent producer that sends at once and partitions by key as the Java client does."""
    return {
        **_common(settings, client_id),
        "enable.idempotence": True,
        "linger.ms": 0,
        "partitioner": "murmur2_random",
        "message.max.bytes": 67_108_864,  # leaves the limit to the topic, whose error names it
        **more,
        **changeable(settings.kafka.client_settings),
    }


def transactional(settings: Settings, client_id: str, transactional_id: str) -> Config:
    """A transactional producer with a retry back-off of 1 ms instead of librdkafka's 100.

    The broker answers CONCURRENT_TRANSACTIONS while it still writes the last transaction's markers. With the default
    back-off a consume-transform-produce cycle takes 103 ms, with this one 4 ms.
    """
    return producer(
        settings,
        client_id,
        **{
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 10_000,
            # Shorter than the line above: a record that cannot be delivered is to fail, and its transaction to be
            # aborted, before Kafka itself ends the transaction, which fences the producer and so ends its process.
            "message.timeout.ms": 5_000,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 2,
            "topic.metadata.refresh.fast.interval.ms": 2,  # more than the line above: librdkafka warns and lowers it
        },
    )


def replies(settings: Settings, client_id: str) -> Config:
    """A producer of answers to the reply topics that requests name, where one topic's failure must not delay others.

    An idempotent producer would delay all of them: until it gets its producer id (500 ms while Kafka's coordinator
    loads), and after each refused record until everything in flight is acknowledged.
    """
    return producer(
        settings,
        f"{client_id}.replies",
        **{
            "enable.idempotence": False,
            "acks": -1,
            "max.in.flight.requests.per.connection": 5,
            "request.timeout.ms": 1_000,  # a broker answers a connection's requests in order, so one delays the next
            "message.timeout.ms": 5_000,
            "queue.buffering.max.kbytes": 131_072,
        },
    )


def status(settings: Settings, client_id: str) -> Config:
    """A producer for the topic `status`, where each record is replaced by a newer one a second later."""
    return producer(
        settings,
        client_id,
        **{
            "enable.idempotence": False,
            "acks": -1,
            "max.in.flight.requests.per.connection": 1,  # keeps the order when a request is retried
            "message.timeout.ms": 5_000,
            # Until a topic that was deleted and created again is found; default five minutes.
            "topic.metadata.refresh.interval.ms": 1_000,
        },
    )


def worker(settings: Settings, group: str, identity: str, slot: str) -> Config:
    """A worker's consumer: a static group member, so that a standby takes over its partitions without a rebalance."""
    return consumer(
        settings,
        f"{identity}@{slot}",
        group,
        **{
            "group.instance.id": group + "." + identity,
            "session.timeout.ms": settings.workers.session_timeout_ms,
            # Until a worker learns of a rebalance. librdkafka sends heartbeats only while it is awake, so less often
            # without requests.
            "heartbeat.interval.ms": 100,
            # A fetch may decompress to a thousand times its size, all in memory at once; so 1 MiB, not 4 per partition.
            "fetch.max.bytes": 1_048_576,
            "fetch.message.max.bytes": 1_048_576,
            # Until partitions that are added to the topic are read; default five minutes.
            "topic.metadata.refresh.interval.ms": 3_000,
            "enable.partition.eof": True,  # offsets alone do not show the end: transaction markers take offsets too
            # Committed offsets are unstable until the dead worker's transaction ends: retried after 10 ms, not 100.
            "retry.backoff.ms": 10,
            "retry.backoff.max.ms": 20,
        },
    )


def requests(settings: Settings, client_id: str, **more: object) -> Config:
    """A producer of requests, like that of an application."""
    return producer(settings, client_id, **_FINDS_LEADERS, **more)


def answers(settings: Settings, client_id: str) -> Config:
    """A consumer that is assigned result partitions by hand. It joins no group: `group.id` is only a name."""
    return consumer(settings, client_id, client_id, **_FINDS_LEADERS, **{"fetch.wait.max.ms": 100})


def follower(settings: Settings, client_id: str) -> Config:
    """A consumer that is assigned partitions by hand, joins no group and commits nothing."""
    return consumer(settings, client_id, f"{settings.kafka.topic_prefix}standfast-follower")
