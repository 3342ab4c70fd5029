"""max.message.bytes of the request topic lowered: Kafka refuses larger records, and the caller is told so at once."""

from __future__ import annotations

from confluent_kafka import KafkaError

from drills.faults.injector import Kind
from drills.faults.topic_setting import TopicSetting
from drills.params import Param


class Oversize(TopicSetting):
    """Lowers the limit; it is seen when a record of twice that size is refused."""

    name = "kafka-oversize"
    setting = "max.message.bytes"
    refusal = KafkaError.MSG_SIZE_TOO_LARGE

    def wanted(self) -> str:
        """The lowered limit."""
        return str(self.aim.params["max_bytes"])

    def size(self) -> int:
        """Twice the limit."""
        return 2 * int(self.aim.params["max_bytes"])


OVERSIZE = Kind(
    "kafka-oversize",
    "max.message.bytes of the request topic is lowered",
    Oversize,
    targets={"topic": "this request topic, and with it the service"},
    undo="the topic's max.message.bytes is set back to what it was; the drill checks that it is",
    params=(
        Param("max_bytes", 2048, "the limit meanwhile, bytes; the drill's own requests have about 200", 300, 1_048_576),
    ),
    figure=None,
)
