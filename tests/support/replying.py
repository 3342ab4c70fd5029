"""No reply topics: for tests of what comes after them."""

from __future__ import annotations

from consumers.commit.work import Work


class NoReplies:
    """Gives every work back as it is."""

    def deliver(self, work: Work) -> Work:
        return work
