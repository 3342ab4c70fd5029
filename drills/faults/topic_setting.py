"""The base of faults that change one setting of the request topic, and set it back as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    ResourceType,
)

from drills.evidence.verdict import Finding
from drills.faults.asking import TIMEOUT_S, asked
from drills.faults.extra import extra_headers, extra_requests
from drills.faults.kafka_fault import KafkaFault
from schemas.records import Check, Scalar
from standfast.core import clients
from standfast.core.errors import DrillRejected
from standfast.core.kafka_errors import error_of

_ONE_TRY = {"enable.idempotence": False, "acks": -1, "message.send.max.retries": 0, "message.timeout.ms": 3000}
_AGAIN_S = 0.1


class TopicSetting(KafkaFault):
    """Changes `setting`; the fault is seen when Kafka refuses a record for `refusal`."""

    setting = ""
    refusal = KafkaError.UNKNOWN

    def wanted(self) -> str:
        """The value that the setting gets."""
        raise NotImplementedError

    def size(self) -> int:
        """The least size in bytes of the record that has to be refused."""
        return 0

    def before(self) -> Mapping[str, Scalar]:
        """The topic, the value as it is and whether the topic has it of its own, and the value it gets."""
        value, is_own = self._now()
        wanted = self.wanted()
        if value == wanted:
            raise DrillRejected(f"{self.setting} of {self.topic} is {value} already; choose another value")
        return {"topic": self.topic, "value": value, "own": is_own, "wanted": wanted}

    def strike(self) -> None:
        """Sets it."""
        self._set(AlterConfigOpType.SET, str(self.target.before["wanted"]))

    def injected(self, within_s: float) -> Finding:
        """Whether the setting has the value, and Kafka refuses a record because of it."""
        deadline = time.monotonic() + within_s
        while True:
            value, _ = self._now()
            if value != self.target.before["wanted"]:
                seen = f"{self.setting} of {self.topic} is {value}, not {self.target.before['wanted']}"
            else:
                began = time.monotonic()
                code, said = self._refused()
                seen = f"with {self.setting} = {value} Kafka says {said} to a record for {self.topic}"
                if code == self.refusal:
                    return Finding("passed", f"{seen}, {(time.monotonic() - began) * 1000:.0f} ms after it was sent")
            if time.monotonic() >= deadline:
                return Finding("failed", seen)
            time.sleep(_AGAIN_S)

    def undo(self) -> None:
        """Sets it back, unless it has another value by now than the fault gave it."""
        if self._now()[0] != self.target.before["wanted"]:
            return
        if self.target.before["own"]:
            self._set(AlterConfigOpType.SET, str(self.target.before["value"]))
        else:
            self._set(AlterConfigOpType.DELETE, "")

    def undone(self) -> Finding:
        """Whether the setting is as it was."""
        value, is_own = self._now()
        is_back = (value, is_own) == (self.target.before["value"], self.target.before["own"])
        is_left: Check = "failed" if value == self.target.before["wanted"] else "unknown"
        check, before = "passed" if is_back else is_left, self.target.before["value"]
        return Finding(check, f"{self.setting} of {self.topic} is {value}, and was {before} before the fault")

    def _now(self) -> tuple[str, bool]:
        """The value, and whether it is the topic's own and not a default."""
        resource = ConfigResource(ResourceType.TOPIC, self.topic)

        def ask(client: AdminClient, within_s: float) -> Future[dict[str, ConfigEntry]]:
            return client.describe_configs([resource], request_timeout=within_s)[resource]

        entry = asked(self.system, ask)[self.setting]
        return str(entry.value), entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value  # type: ignore[comparison-overlap]  # the source is its number

    def _set(self, how: AlterConfigOpType, value: str) -> None:
        entry = ConfigEntry(self.setting, value, incremental_operation=how)
        resource = ConfigResource(ResourceType.TOPIC, self.topic, incremental_configs=[entry])

        def ask(client: AdminClient, within_s: float) -> Future[ConfigResource]:
            return client.incremental_alter_configs([resource], request_timeout=within_s)[resource]

        asked(self.system, ask)

    def _refused(self) -> tuple[int, str]:
        """The code and name of Kafka's answer to one record, which is a request that the workers can answer."""
        producer = Producer(clients.producer(self.system.settings, "standfast-faults", **_ONE_TRY))
        answers: list[KafkaError | None] = []

        def report(error: KafkaError | None, _message: Message) -> None:
            answers.append(error)

        value = extra_requests(self.system.service, self.aim)("probe")
        try:
            producer.produce(
                self.topic,
                value + b" " * max(0, self.size() - len(value)),  # JSON may end with spaces
                headers=extra_headers(self.aim, "probe"),
                on_delivery=report,
            )
            producer.flush(TIMEOUT_S)
        except KafkaException as refused:
            answers.append(error_of(refused))
        answer = answers[0] if answers else KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001
        return (0, "yes") if answer is None else (answer.code(), answer.name())
