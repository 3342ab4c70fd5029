"""The profiles in memory: which partition they lie in, and what is left of one that somebody deletes."""

from __future__ import annotations

import asyncio

import pytest

from schemas.codec import Codec
from schemas.records import Interaction, Profile
from streams.keeper import Keeper
from streams.ledger import Ledger

USER = b"u1"


def written(keeper: Keeper) -> dict[tuple[int, bytes], list[str] | None]:
    """What is written of the changes so far: the items of each profile, None for a deletion."""
    found: dict[tuple[int, bytes], list[str] | None] = {}

    async def write(place: int, user: bytes, data: bytes | None) -> asyncio.Future[None]:
        profile = Codec().decode(data, Profile)[0] if data is not None else None
        found[place, user] = [one.item_id for one in profile.items] if profile else None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def until_written() -> None:
        writing = asyncio.create_task(keeper.write_changes(write))
        await asyncio.sleep(0.1)
        writing.cancel()

    asyncio.run(until_written())
    return found


def buy(keeper: Keeper, item: str, at: int, partition: int = 0) -> None:
    keeper.fold(("interactions", partition), at, Interaction(user_id=USER.decode(), item_id=item), at)


@pytest.fixture
def keeper() -> Keeper:
    """Of two partitions, with nothing in them."""
    keeper = Keeper(Ledger(), keep=10)
    keeper.restart_from({}, 2)
    return keeper


def test_partitions_that_only_interactions_has_share_those_of_profiles(keeper: Keeper) -> None:
    for partition, item in enumerate("abcd"):
        buy(keeper, item, partition + 1, partition)
    assert written(keeper) == {(0, USER): ["a", "c"], (1, USER): ["b", "d"]}


def test_what_happened_before_a_deletion_is_forgotten(keeper: Keeper) -> None:
    buy(keeper, "before", 1)
    buy(keeper, "after", 3)
    keeper.erase(0, USER, 2)
    assert written(keeper) == {(0, USER): ["after"]}
    buy(keeper, "later", 4)
    assert written(keeper) == {(0, USER): ["after", "later"]}


def test_a_deleted_profile_is_deleted_again_and_begun_anew(keeper: Keeper) -> None:
    buy(keeper, "before", 1)
    keeper.erase(0, USER, 2)
    assert written(keeper) == {(0, USER): None}, "it may have been written before the deletion was heard of"
    buy(keeper, "after", 3)
    assert written(keeper) == {(0, USER): ["after"]}


def test_a_deletion_of_what_is_not_known_writes_nothing(keeper: Keeper) -> None:
    keeper.erase(0, USER, 2)
    assert written(keeper) == {}
