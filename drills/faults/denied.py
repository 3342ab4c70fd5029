"""An ACL that denies everybody READ on the request topic: Kafka refuses the workers' fetches."""

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
    """Adds an ACL that denies READ, and one that allows the other operations where the topic had no ACL before.

    With `allow.everyone.if.no.acl.found` a topic without ACLs is open to everybody; its first ACL denies whatever no
    ACL allows. A topic that has ACLs, by its name or by a prefix, gets none that allows anything.
    """

    name = "kafka-denied"

    def before(self) -> Mapping[str, Scalar]:
        """The topic and its number of ACLs; raises DrillRejected where Kafka has no authorizer or refuses changes."""
        self._refuse_unless_possible()
        acls = self._acls(ResourcePatternType.MATCH)
        if self._deny in acls:
            raise DrillRejected(f"an ACL denies {_EVERYBODY} READ on {self.topic} already")
        return {"topic": self.topic, "acls": len(acls)}

    def strike(self) -> None:
        """Adds the ACLs, the one that allows first: callers must be able to write in between."""
        for acl in self._added():
            self._create(acl)

    def injected(self, within_s: float) -> Finding:
        """Whether the ACL exists and a consumer's fetch fails with TOPIC_AUTHORIZATION_FAILED."""
        deadline = time.monotonic() + within_s
        while True:
            if self._deny not in self._acls(ResourcePatternType.LITERAL):
                seen = f"no ACL denies {_EVERYBODY} READ on {self.topic}"
            elif self._is_fetch_refused():
                return Finding("passed", f"a consumer's fetch from {self.topic} fails: TOPIC_AUTHORIZATION_FAILED")
            else:
                seen = f"an ACL denies {_EVERYBODY} READ on {self.topic}, and a consumer's fetch did not fail"
            if time.monotonic() >= deadline:
                return Finding("failed", seen)

    def undo(self) -> None:
        """Deletes the ACLs that `strike` added, the one that denies first."""
        for acl in reversed(self._added()):
            self._delete(acl)

    def undone(self) -> Finding:
        """Whether none of these ACLs is left."""
        acls = self._acls(ResourcePatternType.LITERAL)
        left = [acl for acl in self._added() if acl in acls]
        if left:
            return Finding("failed", f"{len(left)} of the drill's ACLs on {self.topic} are left")
        return Finding("passed", f"no ACL of the drill's on {self.topic} is left")

    @property
    def _deny(self) -> AclBinding:
        return _acl(self.topic, AclOperation.READ, AclPermissionType.DENY)

    def _added(self) -> list[AclBinding]:
        if self.target.before["acls"]:
            return [self._deny]
        return [_acl(self.topic, AclOperation.ALL, AclPermissionType.ALLOW), self._deny]

    def _create(self, acl: AclBinding) -> None:
        asked(self.system, lambda client, within_s: client.create_acls([acl], request_timeout=within_s)[acl])

    def _delete(self, acl: AclBinding) -> None:
        wanted = _filter_of(acl)
        asked(self.system, lambda client, within_s: client.delete_acls([wanted], request_timeout=within_s)[wanted])

    def _refuse_unless_possible(self) -> None:
        """Asks Kafka to delete an ACL that nobody has created.

        Asked to list ACLs, a Kafka without an authorizer answers that there are none.
        """
        try:
            self._delete(_acl(f"{self.topic}.{self.aim.drill_id}", AclOperation.READ, AclPermissionType.DENY))
        except KafkaException as error:
            if (never := _NEVER.get(error_of(error).code())) is not None:
                raise DrillRejected(never) from None
            raise

    def _acls(self, pattern: ResourcePatternType) -> Collection[AclBinding]:
        """The ACLs of the topic: those on its name (LITERAL), or all that apply to it (MATCH)."""
        anybody = cast("str", None)  # as the filter has it, and its annotation has not
        any_ = (anybody, anybody, AclOperation.ANY, AclPermissionType.ANY)
        wanted = AclBindingFilter(ResourceType.TOPIC, self.topic, pattern, *any_)
        return asked(self.system, lambda client, within_s: client.describe_acls(wanted, request_timeout=within_s))

    def _is_fetch_refused(self) -> bool:
        group = f"{self.system.service.group}-denied"
        consumer = Consumer(clients.consumer(self.system.settings, "standfast-faults", group))
        try:
            consumer.assign([TopicPartition(self.topic, self.target.partitions[0], 0)])
            message = consumer.poll(_READS_S)
            error = message.error() if message is not None else None
            return error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        finally:
            consumer.close()


def _acl(topic: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, _EVERYBODY, "*", operation, permission)


def _filter_of(acl: AclBinding) -> AclBindingFilter:
    """The filter that matches this ACL alone."""
    pattern = (acl.restype, acl.name, acl.resource_pattern_type)
    return AclBindingFilter(*pattern, acl.principal, acl.host, acl.operation, acl.permission_type)


DENIED = Kind(
    "kafka-denied",
    "an ACL denies everybody READ on the request topic",
    Denied,
    targets={"topic": "this request topic, and with it the service"},
    undo="the ACLs that were added are deleted; the drill checks that none is left",
    figure=None,
)
