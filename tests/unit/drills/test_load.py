"""What the load concludes from the delivery report of a request."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from drills.evidence.load import outcome


@pytest.mark.parametrize(
    ("error", "offset", "expected"),
    [
        (None, 5, ("acked", 5)),
        (None, None, ("acked", -1)),  # a duplicate of a retry has no offset: a campaign that killed a controller failed
        (KafkaError(KafkaError._MSG_TIMED_OUT), None, ("unknown", -1)),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), None, ("failed", -1)),
    ],
)
def test_what_became_of_a_request(error: KafkaError | None, offset: int | None, expected: tuple[str, int]) -> None:
    assert outcome(error, offset) == expected
