"""What Kafka says of its own roles: who leads a partition, who follows, who coordinates a group, who is controller."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConsumerGroupDescription, PartitionMetadata

from drills.faults.injector import Aim
from drills.faults.running_system import RunningSystem
from standfast.core import clients
from standfast.core.errors import ClusterError, DrillRejected
from standfast.core.kafka_errors import error_of
from standfast.core.processes.launching import command

TIMEOUT_S = 30.0  # of one question to Kafka; it may have to elect a leader first
_ONE_BROKER_S = 3.0  # a broker that stands still never answers; after so long another one is asked
Answer = TypeVar("Answer")


def admin(system: RunningSystem) -> AdminClient:
    """An admin client of the system's Kafka."""
    return AdminClient(clients.base(system.settings, "standfast-faults"))


def asked(system: RunningSystem, ask: Callable[[AdminClient, float], Future[Answer]]) -> Answer:
    """Kafka's answer to a question that may be asked twice; raises KafkaException after 30 s without one.

    `ask` gets the client and the seconds that one broker has. The client chooses any broker, perhaps the one that a
    fault has stopped, so each try has a client of its own: one that took the stopped broker for Kafka's controller
    waited for it at every try.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        client = admin(system)  # in a variable: a client that is collected does not answer
        try:
            return ask(client, _ONE_BROKER_S).result(TIMEOUT_S)  # longer: the client's own time-out ends it
        except KafkaException as error:
            if error_of(error).code() != KafkaError._TIMED_OUT or time.monotonic() >= deadline:  # noqa: SLF001
                raise


def metadata_of(system: RunningSystem) -> ClusterMetadata:
    """Kafka's brokers, topics and partitions now; raises ClusterError if it does not answer."""
    try:
        return admin(system).list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise ClusterError(f"Kafka does not answer within {TIMEOUT_S:.0f} s: {error_of(error).str()}") from None


def broker_in_role(system: RunningSystem, aim: Aim, chance: random.Random) -> int:
    """The id of the broker in the role that the aim names; without one, a random leader of the request topic.

    Raises DrillRejected where there is none.
    """
    target = aim.target
    if "group" in target:
        return coordinator(system, str(target["group"]))
    if "controller" in target:
        return active_controller(system)
    metadata = metadata_of(system)
    if "broker" in target:
        if target["broker"] not in metadata.brokers:
            raise DrillRejected(f"there is no broker {target['broker']}; there are: {sorted(metadata.brokers)}")
        return int(str(target["broker"]))
    partitions = _partitions(metadata, system, aim)
    if "follower" in target:
        return _follower(partitions, int(str(target["follower"])), chance)
    if "partition" in target:
        return int(_one(partitions, target["partition"]).leader)
    leaders = {partition.leader for partition in partitions.values()}
    return chance.choice(sorted(leaders - {active_controller(system)} or leaders))


def a_follower(system: RunningSystem, aim: Aim, chance: random.Random) -> int:
    """The id of a follower of the aim's partition, else of any; the controller only if no other broker follows."""
    if "follower" in aim.target:
        return broker_in_role(system, aim, chance)
    partitions = _partitions(metadata_of(system), system, aim).values()
    followers = {broker for partition in partitions for broker in set(partition.isrs) - {partition.leader}}
    if not followers:
        raise DrillRejected(f"no partition of {system.service.requests} has a follower in sync")
    return chance.choice(sorted(followers - {active_controller(system)} or followers))


def coordinator(system: RunningSystem, group: str) -> int:
    """The id of the broker that coordinates the group, named with or without our prefix; raises DrillRejected."""
    prefix = system.settings.kafka.topic_prefix
    name = group if group.startswith(prefix) else prefix + group
    try:
        answer = group_of(system, name)
    except KafkaException as error:
        raise DrillRejected(f"Kafka does not say who coordinates the group {name}: {error_of(error).str()}") from None
    if not answer.members:
        raise DrillRejected(f"the group {name} has no members; see: standfast kafka consumer-groups --list")
    return int(answer.coordinator.id)


def group_of(system: RunningSystem, name: str) -> ConsumerGroupDescription:
    """Kafka's description of the group with this full name; raises KafkaException."""

    def ask(client: AdminClient, within_s: float) -> Future[ConsumerGroupDescription]:
        return client.describe_consumer_groups([name], request_timeout=within_s)[name]

    return asked(system, ask)


def active_controller(system: RunningSystem) -> int:
    """The broker id of the active controller, from `kafka-metadata-quorum`; raises ClusterError.

    A metadata response names an arbitrary broker as controller, so a client cannot be asked.
    """
    servers = system.settings.kafka.bootstrap_servers
    arguments = command("kafka", "metadata-quorum", "--bootstrap-server", servers, "describe", "--status")
    output = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    leaders = [line.split()[1] for line in output.stdout.splitlines() if line.startswith("LeaderId:")]
    if not leaders:
        raise ClusterError(
            f"the active controller is not known: {output.stderr.strip()[-300:] or output.stdout[-300:]}"
        )
    return int(leaders[0])


def _partitions(metadata: ClusterMetadata, system: RunningSystem, aim: Aim) -> dict[int, PartitionMetadata]:
    prefix = system.settings.kafka.topic_prefix
    topic = prefix + str(aim.target["topic"]).removeprefix(prefix) if "topic" in aim.target else system.service.requests
    if topic not in metadata.topics:
        raise DrillRejected(f"Kafka has no topic {topic}; create it with `standfast topics`")
    return dict(metadata.topics[topic].partitions)


def _one(partitions: dict[int, PartitionMetadata], number: object) -> PartitionMetadata:
    if number not in partitions:
        raise DrillRejected(f"there is no partition {number}; there are {len(partitions)}, from 0")
    return partitions[number]


def _follower(partitions: dict[int, PartitionMetadata], number: int, chance: random.Random) -> int:
    partition = _one(partitions, number)
    followers = sorted(set(partition.isrs) - {partition.leader})
    if not followers:
        raise DrillRejected(f"partition {number} has no follower in sync beside its leader, broker {partition.leader}")
    return chance.choice(followers)
