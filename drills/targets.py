"""The keys by which a target may be named, and what is right for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from drills.params import nearest
from schemas.records import Scalar

WORKER_TARGETS = {
    "worker": "the worker of that id, such as search-0",
    "partition": "the worker that owns this partition of the request topic",
    "key": "the worker that owns the partition of this key, as a producer with Java's default partitioner places it",
    "topic": "the owner of most partitions of this request topic",
    "host": "a worker of this host, a key of the topic status",
}
BROKER_TARGETS = {
    "broker": "the broker of that id, such as 1",
    "partition": "the leader of this partition of `topic`, or of the request topic",
    "topic": "the leader of a partition of this topic of ours",
    "follower": "a follower of this partition (of `topic`) that is in sync",
    "group": "the coordinator of this consumer group",
    "controller": "true: the active controller",
}
PARTITION_TARGETS = {
    "topic": "this request topic, and with it the service",
    "partition": "this partition of the request topic",
    "key": "the partition of this key, as a producer with Java's default partitioner places it",
}
# At most one of these names the victim; `topic` and `host` say where it is looked for.
_NAMES_IT = ("worker", "partition", "key", "standby", "broker", "follower", "group", "controller")


@dataclass(frozen=True, slots=True)
class _TargetKey:
    """What a key's value has to be, in words and as a check."""

    wanted: str
    is_right: Callable[[Scalar], bool]


def partition_of(key: str, partitions: int) -> int:
    """The partition on which a producer puts a record with this key.

    That of our own clients (`partitioner = murmur2_random`), and of Java's by default; librdkafka's own default is
    another (`consistent_random`, CRC32).
    """
    from aiokafka.partitioner import murmur2  # 0.15 s, which no other fault is to wait for

    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def target_mistakes(target: Mapping[str, Scalar], known: Mapping[str, str], whose: str) -> Iterator[tuple[str, str]]:
    """Each key with which something is wrong, and what; `known` are the keys that the fault `whose` has."""
    for key, value in target.items():
        if key not in known:
            yield key, f"{whose} has no target {key!r:.100}{nearest(key, list(known))}"
        elif not _KEYS[key].is_right(value):
            yield key, f"target.{key} = {value!r:.100}: give {_KEYS[key].wanted}"
    named = [key for key in _NAMES_IT if key in target and key in known]
    if "worker" in named and len(target) > 1:
        yield "worker", "target names a worker and more; the worker alone is enough"
    elif len(named) > 1:
        yield named[1], f"target names a {named[0]} and a {named[1]}; give one of them"


def _text(value: Scalar) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 250


def _number(value: Scalar) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _true(value: Scalar) -> bool:
    return value is True


_KEYS = {
    "worker": _TargetKey("a worker's id, such as search-0", _text),
    "partition": _TargetKey("the number of a partition, 0 or more", _number),
    "key": _TargetKey("the key of a record, such as u7", _text),
    "topic": _TargetKey("the name of a topic", _text),
    "host": _TargetKey("the name of a host, as the key of its record on the topic status", _text),
    "standby": _TargetKey("true, or a standby's id such as search-s1", lambda value: _true(value) or _text(value)),
    "broker": _TargetKey("the id of a broker, such as 1", _number),
    "follower": _TargetKey("the number of a partition, 0 or more", _number),
    "group": _TargetKey("the name of a consumer group", _text),
    "controller": _TargetKey("true", _true),
}
