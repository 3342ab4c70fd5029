"""When the partitions of a service count as shared out among its workers."""

from __future__ import annotations

from typing import cast

import pytest

from consumers.supervision.member import Member
from consumers.supervision.members import Members


class OwnerOf:
    """The part of a member that `share` uses: slot and partitions."""

    def __init__(self, slot: str, partitions: list[int]) -> None:
        self.slot = slot
        self.partitions = {"search.requests": partitions} if partitions else {}


def members(*partitions: list[int]) -> Members:
    made = Members()
    for number, owned in enumerate(partitions):
        made.add(cast(Member, OwnerOf(f"slot-{number}", owned)))
    return made


@pytest.mark.parametrize(
    ("owned", "workers", "shared"),
    [
        ([[0, 1], [2, 3]], 2, True),
        ([[0, 1], [2, 3], []], 3, False),  # the third worker serves but has not joined the group yet
        ([[0, 1], [2], [3]], 3, True),
        ([[0, 1], [2], []], 2, False),  # partition 3 is moving from one worker to another
        ([[0], [1], [2], [3], []], 5, True),  # five workers, four partitions: one worker can have none
        ([], 0, False),
    ],
)
def test_partitions_are_shared_out(owned: list[list[int]], workers: int, shared: bool) -> None:
    assert members(*owned).share("search.requests", 4, workers) == shared
    assert not members(*owned).share("others.requests", 4, workers)
