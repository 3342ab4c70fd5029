"""An access control list that forbids everybody to read the request topic: the workers are turned away."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from drills.evidence.verdict import Finding
from drills.faults.asking import asked
from drills.faults.injector import Kind
from drills.faults.kafka_fault import KafkaFault
from schemas.records import Scalar
from standfast.core import clients
from standfast.core.errors import DrillRejected
from standfast.core.kafka_errors import error_of

_EVERYBODY = "User:*"
_READS_S = 1.0
_NEVER = {
    KafkaError.SECURITY_DISABLED: "Kafka has no authorizer: start the system with STANDFAST_DRILLS__AUTHORIZER=true",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this drill runner's user may not change access control lists (it needs "
    "ALTER on the cluster)",
}


class Denied(KafkaFault):
    """Adds the rule, and one that allows the rest where the topic had no rule before.

    A topic without rules is everybody's, if the cluster says so; its first rule forbids all that it does not allow. A
    topic with rules of its own, by name or by prefix, gets no rule that allows anything.
    """

    name = "kafka-denied"

    def before(self) -> Mapping[str, Scalar]:
        """The topic, and whether it had rules; raises DrillRejected where Kafka has no authorizer or refuses."""
        self._refuse_unless_possible()
        rules = self._rules(ResourcePatternType.MATCH)
        if self._deny in rules:
            raise DrillRejected(f"somebody has forbidden everybody to read {self._topic} already")
        return {"topic": self._topic, "rules": len(rules)}

    def strike(self) -> None:
        """Adds the rules, the one that allows first: in between nobody else may be turned away."""
        for rule in self._added():
            self._add(rule)

    def injected(self, within_s: float) -> Finding:
        """Whether the rule is there and a reader is turned away."""
        deadline = time.monotonic() + within_s
        while True:
            if self._deny not in self._rules(ResourcePatternType.LITERAL):
                seen = f"no rule forbids everybody to read {self._topic}"
            elif self._is_turned_away():
                return Finding("passed", f"who reads {self._topic} is told TOPIC_AUTHORIZATION_FAILED")
            else:
                seen = f"a rule forbids everybody to read {self._topic}, and a reader was not turned away"
            if time.monotonic() >= deadline:
                return Finding("failed", seen)

    def undo(self) -> None:
        """Takes away the rules that `strike` added, the one that forbids first."""
        for rule in reversed(self._added()):
            self._take_away(rule)

    def undone(self) -> Finding:
        """Whether none of these rules is left."""
        left = [rule for rule in self._added() if rule in self._rules(ResourcePatternType.LITERAL)]
        if left:
            return Finding("failed", f"{len(left)} of the drill's rules for {self._topic} are left")
        return Finding("passed", f"no rule of the drill's for {self._topic} is left")

    @property
    def _topic(self) -> str:
        return self.system.service.requests

    @property
    def _deny(self) -> AclBinding:
        return _rule(self._topic, AclOperation.READ, AclPermissionType.DENY)

    def _added(self) -> list[AclBinding]:
        if self.target.before["rules"]:
            return [self._deny]
        return [_rule(self._topic, AclOperation.ALL, AclPermissionType.ALLOW), self._deny]

    def _add(self, rule: AclBinding) -> None:
        asked(self.system, lambda client, within_s: client.create_acls([rule], request_timeout=within_s)[rule])

    def _take_away(self, rule: AclBinding) -> None:
        wanted = _that(rule)
        asked(self.system, lambda client, within_s: client.delete_acls([wanted], request_timeout=within_s)[wanted])

    def _refuse_unless_possible(self) -> None:
        """Asks Kafka to take away a rule that nobody has added.

        To a question for the rules a Kafka without an authorizer says that there are none.
        """
        try:
            self._take_away(_rule(f"{self._topic}.{self.aim.drill_id}", AclOperation.READ, AclPermissionType.DENY))
        except KafkaException as error:
            if (never := _NEVER.get(error_of(error).code())) is not None:
                raise DrillRejected(never) from None
            raise

    def _rules(self, pattern: ResourcePatternType) -> Collection[AclBinding]:
        """The rules for the topic: its own (LITERAL), or all that apply to it (MATCH)."""
        anybody = cast("str", None)  # as the filter has it, and its annotation has not
        any_ = (anybody, anybody, AclOperation.ANY, AclPermissionType.ANY)
        wanted = AclBindingFilter(ResourceType.TOPIC, self._topic, pattern, *any_)
        return asked(self.system, lambda client, within_s: client.describe_acls(wanted, request_timeout=within_s))

    def _is_turned_away(self) -> bool:
        config = clients.consumer(self.system.settings, "standfast-faults", f"{self.system.service.group}-denied")
        consumer = Consumer({**config, "group.protocol": "classic"})
        try:
            consumer.assign([TopicPartition(self._topic, self.target.partitions[0], 0)])
            message = consumer.poll(_READS_S)
            error = message.error() if message is not None else None
            return error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        finally:
            consumer.close()


def _rule(topic: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, _EVERYBODY, "*", operation, permission)


def _that(rule: AclBinding) -> AclBindingFilter:
    """The filter that only this rule passes."""
    place = (rule.restype, rule.name, rule.resource_pattern_type)
    return AclBindingFilter(*place, rule.principal, rule.host, rule.operation, rule.permission_type)


DENIED = Kind(
    "kafka-denied",
    "an access control list forbids everybody to read the request topic",
    Denied,
    targets={"topic": "this request topic, and with it the service"},
    undo="the rules that were added are taken away; the drill checks that none is left",
    figure=None,
)
