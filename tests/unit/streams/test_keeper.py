"""The stream processor's profiles: in which partition they are, and what is left of one that is deleted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec import Codec, Encoding
from schemas.records import Interaction, Profile
from standfast.core.topics.topic_file import damaged
from streams.keeper import Keeper
from streams.kept import ProfileFile, open_profile_file
from streams.oldest_offsets import OldestOffsets

USER = b"u1"


def written(keeper: Keeper) -> dict[tuple[int, bytes], list[str] | None]:
    """Writes the changes so far; returns the items of each written profile, None for a deletion."""
    profiles: dict[tuple[int, bytes], list[str] | None] = {}

    async def write(partition: int, user: bytes, data: bytes | None) -> asyncio.Future[None]:
        profile = Codec().decode(data, Profile)[0] if data is not None else None
        profiles[partition, user] = [item.item_id for item in profile.items] if profile else None
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def until_written() -> None:
        writing = asyncio.create_task(keeper.write_changes(write))
        await asyncio.sleep(0.1)
        writing.cancel()

    asyncio.run(until_written())
    return profiles


def buy(keeper: Keeper, item: str, at: int, partition: int = 0) -> None:
    keeper.fold(("interactions", partition), at, Interaction(user_id=USER.decode(), item_id=item), at)


@pytest.fixture
def profile_file(tmp_path: Path) -> Iterator[ProfileFile]:
    profile_file = open_profile_file(tmp_path, "topic")
    yield profile_file
    profile_file.close()


@pytest.fixture
def keeper(profile_file: ProfileFile) -> Keeper:
    """A keeper of two empty partitions."""
    keeper = Keeper(OldestOffsets(), keep=10)
    keeper.restart_from(profile_file, 2)
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
    assert written(keeper) == {(0, USER): None}, "it may have been written before the deletion was read"
    buy(keeper, "after", 3)
    assert written(keeper) == {(0, USER): ["after"]}


def test_a_deletion_of_what_is_not_known_writes_nothing(keeper: Keeper) -> None:
    keeper.erase(0, USER, 2)
    assert written(keeper) == {}


def items(profile_file: ProfileFile, partition: int = 0) -> list[str] | None:
    data = profile_file.get((partition, USER))
    return [item.item_id for item in Codec().decode(data, Profile)[0].items] if data is not None else None


def test_what_kafka_has_is_in_the_file_and_nothing_of_it_in_memory(keeper: Keeper, profile_file: ProfileFile) -> None:
    buy(keeper, "a", 1)
    keeper.reached({0: 7})
    written(keeper)
    assert (items(profile_file), profile_file.positions) == (["a"], {0: 7})
    assert (keeper._changed, keeper._not_in_file) == ({}, {})
    buy(keeper, "b", 2)
    assert written(keeper) == {(0, USER): ["a", "b"]}
    keeper.erase(0, USER, 9)
    written(keeper)
    assert items(profile_file) is None


def test_a_user_is_not_named_in_the_file(keeper: Keeper, profile_file: ProfileFile, tmp_path: Path) -> None:
    keeper.fold(("interactions", 0), 1, Interaction(user_id="jane.doe@example.org", item_id="a"), 1)
    written(keeper)
    data = profile_file.get((0, b"jane.doe@example.org"))
    assert data is not None
    assert b"jane" not in data
    assert all(b"jane" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_full_disk_keeps_what_changed_in_memory(
    keeper: Keeper, profile_file: ProfileFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored position stays too, so that a restart reads these records again."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(profile_file, "put", full)
        buy(keeper, "a", 1)
        keeper.reached({0: 7})
        assert written(keeper) == {(0, USER): ["a"]}
        buy(keeper, "b", 2)
        assert written(keeper) == {(0, USER): ["a", "b"]}
        assert (items(profile_file), profile_file.positions) == (None, {})
    buy(keeper, "c", 3, partition=1)
    written(keeper)
    assert (items(profile_file), items(profile_file, 1), profile_file.positions) == (["a", "b"], ["c"], {0: 7})


def test_what_comes_while_profiles_are_read_back_is_read_again(keeper: Keeper) -> None:
    oldest = keeper._oldest
    keeper.pause()
    buy(keeper, "a", 5)
    oldest.mark_processed(("interactions", 0), 5)
    assert oldest.committable() == {("interactions", 0): 5}


def test_a_file_from_before_a_new_start_is_not_put_into(
    keeper: Keeper, profile_file: ProfileFile, tmp_path: Path
) -> None:
    """Changes acknowledged late come again with their interactions; stored late, they could restore a deleted user."""
    buy(keeper, "a", 1)
    keeper.pause()
    again = ProfileFile(tmp_path / "again.db")
    keeper.restart_from(again, 2)
    written(keeper)
    assert (items(profile_file), items(again)) == (None, None)
    profile_file.close()
    profile_file.put({(0, USER): b"{}"}, {})
    again.close()


def test_a_damaged_file_is_begun_anew(keeper: Keeper, profile_file: ProfileFile, tmp_path: Path) -> None:
    buy(keeper, "a", 1)
    written(keeper)
    profile_file._file.connection.execute("pragma wal_checkpoint(truncate)")
    [path] = tmp_path.glob("*.db")
    path.write_bytes(path.read_bytes()[:100] + b"?" * (path.stat().st_size - 100))
    profile_file._reader.close()
    profile_file._reader = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.DatabaseError):
        buy(keeper, "b", 2)
    assert damaged(path).exists()
    anew = open_profile_file(tmp_path, "topic")
    assert (items(anew), anew.positions, path.exists()) == (None, {}, False)
    anew.close()


def test_what_is_no_profile_is_begun_anew(profile_file: ProfileFile) -> None:
    profile = Codec().encode(Profile(user_id="u1", items=[], updated_at=1), Encoding.JSON)
    profile_file.put({(0, USER): profile}, {0: 1})
    assert items(profile_file) == []
    profile_file.put({(0, USER): b"no profile"}, {0: 2})
    assert items(profile_file) is None
