"""The librdkafka settings users cannot change: other values would lose or repeat answers, or prevent recovery."""

from __future__ import annotations

from collections.abc import Mapping

from standfast.core.errors import SettingsError

# librdkafka's second names for the same setting.
_ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "auto.commit.enable": "enable.auto.commit",
    "request.required.acks": "acks",
    "queue.buffering.max.ms": "linger.ms",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "delivery.timeout.ms": "message.timeout.ms",
}
# For each key the values that are accepted because they equal ours, and the reason why no other is.
FIXED: dict[str, tuple[tuple[str, ...], str]] = {
    "bootstrap.servers": ((), "KAFKA_BOOTSTRAP_SERVERS or kafka.bootstrap_servers names the brokers"),
    "client.id": ((), "hosts tell each other's workers apart by it"),
    "group.id": ((), "the workers of a service share one group, which is named after it"),
    "group.instance.id": ((), "each worker has its own, which its standby takes over"),
    "group.protocol": (("classic",), "a standby takes a dead worker's place as the classic protocol allows it"),
    "partition.assignment.strategy": (("cooperative-sticky",), "all of a group's members must have the same"),
    "session.timeout.ms": ((), "it is the setting workers.session_timeout_ms"),
    "enable.auto.commit": (("false", "f", "0"), "offsets are committed with the answers, or requests would be lost"),
    "enable.auto.offset.store": (("false", "f", "0"), "offsets are committed with the answers"),
    "auto.offset.reset": (
        ("earliest", "smallest", "beginning"),
        "what was sent before the first start would be lost",
    ),
    "isolation.level": (("read_committed",), "answers of aborted transactions would be seen"),
    "enable.partition.eof": ((), "each reader asks for it where it needs it"),
    "enable.idempotence": (("true", "t", "1"), "a retry would write an answer twice"),
    "acks": (("all", "-1"), "what one broker alone has is lost with it"),
    "transactional.id": ((), "each worker has its own, by which its successor ends what it left open"),
    "partitioner": (("murmur2_random",), "a user's records must lie where Java's clients put them"),
}


def refuse_fixed(theirs: Mapping[str, str]) -> None:
    """Raises SettingsError for user settings that cannot be changed, with the value, the reason and the remedy."""
    wrong = []
    for name, value in theirs.items():
        ours, why = FIXED.get(_ALIASES.get(name, name), (None, ""))
        if ours is not None and value.strip().lower() not in ours:
            variable = f"KAFKA_{name}".upper().replace(".", "_")
            remedy = f"unset {variable}, or remove it from kafka.client in the settings file"
            wrong.append(f"{name} = {value} cannot be set: {why}; {remedy}")
    if wrong:
        raise SettingsError(". ".join(wrong))


def changeable(theirs: Mapping[str, str]) -> dict[str, str]:
    """The user settings that win over ours, under the names used in `clients`."""
    by_name = {_ALIASES.get(name, name): value for name, value in theirs.items()}
    return {name: value for name, value in by_name.items() if name not in FIXED}
