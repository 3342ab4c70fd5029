"""What the load makes of Kafka's word about a request that it sent."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from drills.evidence.load import outcome


@pytest.mark.parametrize(
    ("error", "offset", "expected"),
    [
        (None, 5, ("acked", 5)),
        (None, None, ("acked", -1)),  # a controller died: sent again, and already written; a campaign ended on it
        (KafkaError(KafkaError._MSG_TIMED_OUT), None, ("unknown", -1)),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None, ("failed", -1)),
    ],
)
def test_what_became_of_a_request(error: KafkaError | None, offset: int | None, expected: tuple[str, int]) -> None:
    assert outcome(error, offset) == expected
