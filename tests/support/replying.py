"""A `Replying` without reply topics, for tests of what comes after it."""

from __future__ import annotations

from consumers.commit.work import Work


class NoReplies:
    """Returns the work unchanged."""

    def deliver(self, work: Work) -> Work:
        return work
