"""Compares the topic table with a cluster, and creates the topics that are missing."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from typing import Literal

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType, TopicMetadata

from schemas.topics import TABLE, UNPACKED, Topic
from standfast.core.errors import ClusterError, TopicError
from standfast.core.kafka_errors import error_of
from standfast.core.settings import KafkaSettings

_TIMEOUT_S = 15.0
_KNOWN_WITHIN_S, _ASK_AGAIN_S = 2.0, 0.1
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TopicState:
    """One row of the topic table, and the same topic in the cluster. `actual_*` are None where it is missing."""

    topic: Topic
    name: str
    partitions: int
    replication: int
    actual_partitions: int | None
    actual_replication: int | None
    differs: tuple[str, ...]
    wrong_config: tuple[str, ...] = ()
    more_replicas: tuple[tuple[int, list[int]], ...] = ()  # (partition, wanted brokers) where replicas are missing

    def remedy(self) -> list[str]:
        """The `standfast kafka` commands that correct the topic; none for too many partitions or too few brokers."""
        commands: list[str] = []
        if self.wrong_config:
            wanted = shlex.quote(",".join(f"{key}={_listed(self.topic.config()[key])}" for key in self.wrong_config))
            commands.append(
                f"standfast kafka configs --alter --entity-type topics --entity-name {self.name} --add-config {wanted}"
            )
        if self.actual_partitions is not None and self.actual_partitions < self.partitions:
            commands.append(f"standfast kafka topics --alter --topic {self.name} --partitions {self.partitions}")
        if self.more_replicas:
            partitions = [self._assignment(partition, brokers) for partition, brokers in self.more_replicas]
            wanted = json.dumps({"version": 1, "partitions": partitions})
            tool = "standfast kafka reassign-partitions --execute --reassignment-json-file /dev/stdin"
            commands.append(f"echo '{wanted}' | {tool}")
        return commands

    def _assignment(self, partition: int, brokers: list[int]) -> dict[str, object]:
        return {"topic": self.name, "partition": partition, "replicas": brokers}

    @property
    def state(self) -> Literal["missing", "differs", "ok"]:
        """`missing` topics are created; those that `differ` are only reported, since changes could move keys."""
        if self.actual_partitions is None:
            return "missing"
        return "differs" if self.differs else "ok"


def plan(admin: AdminClient, settings: KafkaSettings) -> list[TopicState]:
    """The state of every topic of the table; raises ClusterError if Kafka does not answer."""
    try:
        metadata = admin.list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise ClusterError(
            f"Kafka at {settings.bootstrap_servers} does not answer: {error_of(error).str()}; start it, or correct "
            "KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    replication = settings.replication or min(3, len(metadata.brokers))
    present = [_named(topic, settings) for topic in TABLE if _named(topic, settings) in metadata.topics]
    configs = _configs(admin, present)
    states = []
    for topic in TABLE:
        name = _named(topic, settings)
        existing = metadata.topics.get(name)
        partitions = topic.partitions or settings.partitions
        differs = _differences(topic, partitions, replication, existing, configs.get(name, {})) if existing else ()
        states.append(
            TopicState(
                topic=topic,
                name=name,
                partitions=partitions,
                replication=replication,
                actual_partitions=len(existing.partitions) if existing else None,
                actual_replication=len(existing.partitions[0].replicas) if existing and existing.partitions else None,
                differs=differs,
                wrong_config=_wrong_config(topic, configs.get(name, {})),
                more_replicas=_more_replicas(existing, replication, sorted(metadata.brokers)),
            )
        )
    return states


def apply(admin: AdminClient, settings: KafkaSettings) -> list[TopicState]:
    """Creates the missing topics; returns the states from before. Raises TopicError where a needed one is refused."""
    states = plan(admin, settings)
    _warn_compressed(states)
    missing = {state.name: state for state in states if state.state == "missing"}
    refused = _refused(admin, [_new(state, state.topic.config()) for state in missing.values()])
    plainer = [missing[name] for name, error in refused.items() if _forbids(error, missing[name].topic)]
    if plainer:
        _log.warning(
            "this kafka does not let some settings of topics be chosen: where it does not unpack records, a small one "
            "may hold hundreds of megabytes; a topic that is not compacted as it should be grows",
            settings=sorted({key for state in plainer for key in _dispensable(state.topic)}),
            topics=[state.name for state in plainer],
        )
        again = _refused(admin, [_new(state, state.topic.needed_config()) for state in plainer])
        names = {state.name for state in plainer}
        refused = {name: error for name, error in refused.items() if name not in names} | again
    optional = [name for name in refused if missing[name].topic.optional]
    if optional:
        why = refused[optional[0]].str()
        _log.warning("these topics could not be created; each host goes by its own models", topics=optional, reason=why)
    for name in [name for name in refused if name not in optional]:
        raise TopicError(
            f"the topic {name} could not be created: {refused[name].str()}; create it by hand, or give this user the "
            "right to"
        )
    return states


def _warn_compressed(states: list[TopicState]) -> None:
    """Warns of existing topics that store records compressed: clients do not limit what a batch decompresses to."""
    compressed = [state for state in states if UNPACKED in state.wrong_config]
    if compressed:
        _log.warning(
            "these topics do not unpack records; a small one may hold hundreds of megabytes",
            topics=[state.name for state in compressed],
            mend="`standfast topics --plan` prints the commands",
        )


def _refused(admin: AdminClient, wanted: list[NewTopic]) -> dict[str, KafkaError]:
    """Creates the topics; returns the errors of those that Kafka refused, by name."""
    if not wanted:
        return {}
    errors = {}
    for name, created in admin.create_topics(wanted, operation_timeout=_TIMEOUT_S).items():
        try:
            created.result(timeout=_TIMEOUT_S)
        except KafkaException as error:
            if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                errors[name] = error_of(error)
    return errors


def _forbids(error: KafkaError, topic: Topic) -> bool:
    """Whether a topic was refused for a setting it can do without: some hosted Kafkas allow only a few settings."""
    return bool(_dispensable(topic)) and error.code() in {KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION}


def _dispensable(topic: Topic) -> set[str]:
    needed = topic.needed_config()
    return {key for key, value in topic.config().items() if needed.get(key) != value}


def _new(state: TopicState, config: dict[str, str]) -> NewTopic:
    return NewTopic(state.name, state.partitions, state.replication, config=config)


def _listed(value: str) -> str:
    """The value as `kafka-configs` takes it: in brackets if it holds a comma, which would end it otherwise."""
    return f"[{value}]" if "," in value else value


def _named(topic: Topic, settings: KafkaSettings) -> str:
    return settings.topic_prefix + topic.name


def _differences(
    topic: Topic, partitions: int, replication: int, existing: TopicMetadata, config: dict[str, str]
) -> tuple[str, ...]:
    actual = len(existing.partitions)
    wrong = [] if actual == partitions else [f"partitions {actual} instead of {partitions}"]
    replicas = min((len(partition.replicas) for partition in existing.partitions.values()), default=0)
    if replicas < replication:
        wrong.append(f"replication {replicas} instead of {replication}")
    wanted = topic.config()
    return (*wrong, *(f"{key} {config[key]} instead of {wanted[key]}" for key in _wrong_config(topic, config)))


def _more_replicas(
    existing: TopicMetadata | None, replication: int, brokers: list[int]
) -> tuple[tuple[int, list[int]], ...]:
    """For each partition with too few replicas, its number and wanted brokers: the present ones, then the next by id.

    Empty if the cluster has fewer brokers than replicas are wanted.
    """
    partitions = existing.partitions.items() if existing and replication <= len(brokers) else ()
    wanted = []
    for number, partition in sorted(partitions):
        present = list(partition.replicas)
        start = number % len(brokers)  # another one for each partition, so that the new replicas are spread
        others = [broker for broker in brokers[start:] + brokers[:start] if broker not in present]
        if len(present) < replication:
            wanted.append((number, (present + others)[:replication]))
    return tuple(wanted)


def _wrong_config(topic: Topic, config: dict[str, str]) -> tuple[str, ...]:
    return tuple(key for key, value in topic.config().items() if key in config and config[key] != value)


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Each topic's settings, by topic; a topic that the broker asked still does not know after 2 s is left out.

    A topic that was created a moment ago becomes known to one broker after the other.
    """
    configs: dict[str, dict[str, str]] = {}
    until = time.monotonic() + _KNOWN_WITHIN_S
    while names:
        futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
        names = []
        for resource, future in futures.items():
            try:
                configs[resource.name] = {key: entry.value for key, entry in future.result(timeout=_TIMEOUT_S).items()}
            except KafkaException as error:
                if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                names.append(resource.name)
        if time.monotonic() > until:
            break
        if names:
            time.sleep(_ASK_AGAIN_S)
    return configs
