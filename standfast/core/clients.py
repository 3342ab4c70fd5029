"""librdkafka configurations: what every client of ours starts from, and why it is not the default.

The user's own `KAFKA_*` settings win over all that is said here, but for those in `clients_fixed`, which are refused
at the start.
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
# A new leader is found within 0.5 s. A client asks for it the moment it loses the old one, which may be too soon, and
# then once a second; what it learns it may undo itself, as it drops the dead broker. So answers came up to 2 s after
# a broker's death, when everybody else had long gone on.
_FINDS_LEADERS = {"topic.metadata.refresh.interval.ms": 250}
_NAMED = re.compile(r"`([a-z.]+(?:\.ms|\.bytes))`")  # a number, no secret
_log = ClientLog()


def base(settings: Settings, client_id: str) -> Config:
    """A client that only asks: an admin client, a probe."""
    return {**_ours(settings, client_id), **changeable(settings.kafka.client_settings)}


def _ours(settings: Settings, client_id: str) -> Config:
    """What every client starts from; the user's settings are laid over it once, by whoever asks for it."""
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": client_id,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,  # default 10 s: a broker that is back would be found 10 s later
        "socket.timeout.ms": 10_000,
        "topic.metadata.refresh.fast.interval.ms": 20,  # default 100: found by the takeover's first fetch
        "retry.backoff.ms": 20,  # default 100: until a lost leader is asked for again; doubled each time
        "retry.backoff.max.ms": 100,  # default 1 s
        "metadata.recovery.rebootstrap.trigger.ms": 5_000,
        "logger": _log,
    }


def check(settings: Settings) -> None:
    """Raises SettingsError where the user's own settings cannot be: with a line, before anything starts."""
    theirs = settings.kafka.client_settings
    if not theirs:
        return
    refuse_fixed(theirs)
    from confluent_kafka import Consumer, KafkaException

    plain: Config = {"group.id": "check", **theirs}
    config = plain
    try:
        for build, config in (*_every_kind(settings), (Consumer, plain)):
            build({**config, "bootstrap.servers": "", "logger": logging.Logger("unheard", logging.CRITICAL + 1)})
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str().strip() if isinstance(error, KafkaException) else str(error)
        here = "".join(f"; {name} is {config[name]}" for name in _NAMED.findall(said) if name in config)
        raise SettingsError(
            f"Kafka's client refuses a setting: {said}{here}; correct or unset KAFKA_<NAME>, with _ for each dot, or "
            "kafka.client in the settings file"
        ) from None


def _every_kind(settings: Settings) -> list[tuple[Callable[[Config], object], Config]]:
    """One of each, since some refuse what others take: a transaction's `socket.timeout.ms` is bounded."""
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
    """A consumer that commits only what it is told to and sees committed records only."""
    return {
        **_ours(settings, client_id),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 500,
        "fetch.error.backoff.ms": 20,  # default 500: what a takeover would wait after one stale-leader answer
        "fetch.message.max.bytes": 4_194_304,
        "queued.max.messages.kbytes": 16_384,  # bounds what waits in memory; default 64 MiB a client
        "partition.assignment.strategy": "cooperative-sticky",
        **more,
        **changeable(settings.kafka.client_settings),
    }


def producer(settings: Settings, client_id: str, **more: object) -> Config:
    """An idempotent producer that sends at once and places keys as the Java client does."""
    return {
        **_ours(settings, client_id),
        "enable.idempotence": True,
        "linger.ms": 0,
        "partitioner": "murmur2_random",
        "message.max.bytes": 67_108_864,  # the topic's own limit decides, with an error that names it
        **more,
        **changeable(settings.kafka.client_settings),
    }


def transactional(settings: Settings, client_id: str, transactional_id: str) -> Config:
    """A transactional producer whose next transaction does not wait out librdkafka's 100 ms back-off.

    The broker answers CONCURRENT_TRANSACTIONS while it still writes the last transaction's markers; with the default
    back-off a consume-transform-produce cycle takes 103 ms, with these 4 ms.
    """
    return producer(
        settings,
        client_id,
        **{
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 10_000,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 2,
            "topic.metadata.refresh.fast.interval.ms": 2,  # librdkafka would bound it by the line above, with a warning
        },
    )


def replies(settings: Settings, client_id: str) -> Config:
    """A producer of answers to topics that requests name: what one topic does to it says nothing of the others.

    An idempotent one would make all of them wait: for its id (500 ms while Kafka's coordinator loads), and for whatever
    is on its way after each record that is refused.
    """
    return producer(
        settings,
        f"{client_id}.replies",
        **{
            "enable.idempotence": False,
            "acks": -1,
            "max.in.flight.requests.per.connection": 5,
            "request.timeout.ms": 1_000,  # a broker answers a connection's requests one by one
            "message.timeout.ms": 5_000,
            "queue.buffering.max.kbytes": 131_072,
        },
    )


def status(settings: Settings, client_id: str) -> Config:
    """A producer of what is said anew a second later: the last record is the one that counts."""
    return producer(
        settings,
        client_id,
        **{
            "enable.idempotence": False,
            "acks": -1,
            "max.in.flight.requests.per.connection": 1,  # in order, also after one had to be sent again
            "message.timeout.ms": 5_000,
            # How soon a topic is found that was deleted and made again: by default after up to five minutes.
            "topic.metadata.refresh.interval.ms": 1_000,
        },
    )


def worker(settings: Settings, group: str, identity: str, slot: str) -> Config:
    """A worker's consumer: a static member, so that a standby can take over its partitions without a rebalance."""
    return consumer(
        settings,
        f"{identity}@{slot}",
        group,
        **{
            "group.instance.id": group + "." + identity,
            "session.timeout.ms": settings.workers.session_timeout_ms,
            # How soon a worker hears that partitions move. Sent when librdkafka is awake: less often without requests.
            "heartbeat.interval.ms": 100,
            # A fetch may unpack to a thousand times its size, all in memory at once: 1 MiB, not 4 a partition.
            "fetch.max.bytes": 1_048_576,
            "fetch.message.max.bytes": 1_048_576,
            # How soon partitions that are added to the topic are read; by default after up to five minutes.
            "topic.metadata.refresh.interval.ms": 3_000,
            "enable.partition.eof": True,  # where a partition really ends: offsets count transactions' markers too
            # Offsets are unreadable until the dead worker's transaction is ended: asked again after 10 ms, not 100.
            "retry.backoff.ms": 10,
            "retry.backoff.max.ms": 20,
        },
    )


def requests(settings: Settings, client_id: str, **more: object) -> Config:
    """A producer of requests, as an application has one."""
    return producer(settings, client_id, **_FINDS_LEADERS, **more)


def answers(settings: Settings, client_id: str) -> Config:
    """A consumer that reads the partitions of answers by itself. The group is only a name: nothing is committed."""
    return consumer(settings, client_id, client_id, **_FINDS_LEADERS, **{"fetch.wait.max.ms": 100})


def follower(settings: Settings, client_id: str) -> Config:
    """A consumer that reads partitions by itself, in no group and without committing."""
    return consumer(
        settings, client_id, f"{settings.kafka.topic_prefix}standfast-follower", **{"fetch.wait.max.ms": 100}
    )
