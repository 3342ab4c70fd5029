"""The topic table applied to a cluster: what differs, and creating what is missing."""

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
    """One row of the table beside what the cluster has. `actual_*` are None where the topic is missing."""

    topic: Topic
    name: str
    partitions: int
    replication: int
    actual_partitions: int | None
    actual_replication: int | None
    differs: tuple[str, ...]
    wrong_config: tuple[str, ...] = ()
    more_replicas: tuple[tuple[int, list[int]], ...] = ()  # the brokers of each partition that is on too few

    def remedy(self) -> list[str]:
        """The commands that make the topic as the table says, as far as one can."""
        commands: list[str] = []
        if self.wrong_config:
            wanted = shlex.quote(",".join(f"{key}={_listed(self.topic.config()[key])}" for key in self.wrong_config))
            commands.append(
                f"standfast kafka configs --alter --entity-type topics --entity-name {self.name} --add-config {wanted}"
            )
        if self.actual_partitions is not None and self.actual_partitions < self.partitions:
            commands.append(f"standfast kafka topics --alter --topic {self.name} --partitions {self.partitions}")
        if self.more_replicas:
            wanted = json.dumps({"version": 1, "partitions": [self._on(*each) for each in self.more_replicas]})
            tool = "standfast kafka reassign-partitions --execute --reassignment-json-file /dev/stdin"
            commands.append(f"echo '{wanted}' | {tool}")
        return commands

    def _on(self, partition: int, brokers: list[int]) -> dict[str, object]:
        return {"topic": self.name, "partition": partition, "replicas": brokers}

    @property
    def state(self) -> Literal["missing", "differs", "ok"]:
        """Missing topics are created; differing ones are only reported, because changing them moves keys."""
        if self.actual_partitions is None:
            return "missing"
        return "differs" if self.differs else "ok"


def plan(admin: AdminClient, settings: KafkaSettings) -> list[TopicState]:
    """Every topic of the table as it is in the cluster; raises ClusterError if Kafka does not answer."""
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
    """Creates what is missing and returns the table as it was before; raises TopicError if a topic is refused."""
    states = plan(admin, settings)
    _tell_packed(states)
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
    for name, error in refused.items():
        raise TopicError(
            f"the topic {name} could not be created: {error.str()}; create it by hand, or give this user the right to"
        )
    return states


def _tell_packed(states: list[TopicState]) -> None:
    """Says which topics somebody else made without what bounds a record in memory; a worker's client has no limit."""
    packed = [state for state in states if UNPACKED in state.wrong_config]
    if packed:
        _log.warning(
            "these topics do not unpack records; a small one may hold hundreds of megabytes",
            topics=[state.name for state in packed],
            mend="`standfast topics --plan` prints the commands",
        )


def _refused(admin: AdminClient, wanted: list[NewTopic]) -> dict[str, KafkaError]:
    """Creates the topics; the errors of those that could not be, by name."""
    if not wanted:
        return {}
    errors = {}
    for name, done in admin.create_topics(wanted, operation_timeout=_TIMEOUT_S).items():
        try:
            done.result(timeout=_TIMEOUT_S)
        except KafkaException as error:
            if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                errors[name] = error_of(error)
    return errors


def _forbids(error: KafkaError, topic: Topic) -> bool:
    """Whether it was refused for a setting that it can do without: some hosted Kafkas let only a few be chosen."""
    return bool(_dispensable(topic)) and error.code() in {KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION}


def _dispensable(topic: Topic) -> set[str]:
    needed = topic.needed_config()
    return {key for key, value in topic.config().items() if needed.get(key) != value}


def _new(state: TopicState, config: dict[str, str]) -> NewTopic:
    return NewTopic(state.name, state.partitions, state.replication, config=config)


def _listed(value: str) -> str:
    """A value as `kafka-configs` takes it: it would end one without brackets at its first comma."""
    return f"[{value}]" if "," in value else value


def _named(topic: Topic, settings: KafkaSettings) -> str:
    return settings.topic_prefix + topic.name


def _differences(
    topic: Topic, partitions: int, replication: int, existing: TopicMetadata, config: dict[str, str]
) -> tuple[str, ...]:
    actual = len(existing.partitions)
    wrong = [] if actual == partitions else [f"partitions {actual} instead of {partitions}"]
    copies = min((len(partition.replicas) for partition in existing.partitions.values()), default=0)
    if copies < replication:
        wrong.append(f"replication {copies} instead of {replication}")
    wanted = topic.config()
    return (*wrong, *(f"{key} {config[key]} instead of {wanted[key]}" for key in _wrong_config(topic, config)))


def _more_replicas(
    existing: TopicMetadata | None, replication: int, brokers: list[int]
) -> tuple[tuple[int, list[int]], ...]:
    """The brokers that each partition with too few copies should be on: where it is, and the next ones round the ring.

    Nothing where there are too few brokers.
    """
    partitions = existing.partitions.items() if existing and replication <= len(brokers) else ()
    wanted = []
    for number, partition in sorted(partitions):
        here = list(partition.replicas)
        turn = number % len(brokers)
        others = [broker for broker in brokers[turn:] + brokers[:turn] if broker not in here]
        if len(here) < replication:
            wanted.append((number, (here + others)[:replication]))
    return tuple(wanted)


def _wrong_config(topic: Topic, config: dict[str, str]) -> tuple[str, ...]:
    return tuple(key for key, value in topic.config().items() if key in config and config[key] != value)


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Each topic's settings; none of one that the broker which is asked does not know.

    A topic that was made a moment ago is known to the brokers one after the other.
    """
    configs: dict[str, dict[str, str]] = {}
    until = time.monotonic() + _KNOWN_WITHIN_S
    while names:
        asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
        names = []
        for resource, answer in asked.items():
            try:
                configs[resource.name] = {key: entry.value for key, entry in answer.result(timeout=_TIMEOUT_S).items()}
            except KafkaException as error:
                if error_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                names.append(resource.name)
        if time.monotonic() > until:
            break
        if names:
            time.sleep(_ASK_AGAIN_S)
    return configs
