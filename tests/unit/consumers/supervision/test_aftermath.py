"""What a supervisor notices beside the deaths of its workers."""

from __future__ import annotations

import pytest
import structlog

from consumers.service import service
from consumers.supervision.aftermath import Aftermath
from standfast.core.settings import Settings


@pytest.mark.usefixtures("state")
def test_a_request_topic_that_was_made_again_is_told_of_once() -> None:
    """Requests at the offsets that the old topic had reached were passed over without a word."""
    aftermath = Aftermath(service("search", Settings()), Settings())
    told: list[object] = []
    with structlog.testing.capture_logs() as lines:
        for topic_id in ("a", "a", "b", "b"):
            aftermath._identified("search.requests", topic_id, told.append)
        aftermath._identified("search.requests.bulk", "c", told.append)
    aftermath.close()
    warned = [(line["topic"], line["before"], line["now"]) for line in lines if line["log_level"] == "warning"]
    assert warned == [("search.requests", "a", "b")]
    assert [type(message).__name__ for message in told] == ["Suspected", "Recreated", "Suspected", "Suspected"]
