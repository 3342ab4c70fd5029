"""The fold of interactions into a profile."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import SINGLE_OBJECT, Codec, Encoding
from schemas.records import Interaction, Profile
from schemas.topics import BY_NAME
from streams import profiles
from streams.keeper import Keeper
from streams.kept import open_profile_file
from streams.oldest_offsets import OldestOffsets
from streams.profiles import fold

_FIRST = (
    "c3015253708298bb889a027502026108766965770a00000a"  # user u met a at 5, as schemas/avro/profile.1.avsc wrote it
)

interactions = st.builds(
    Interaction,
    user_id=st.just("u"),
    item_id=st.sampled_from("abcd"),
    event=st.sampled_from(["view", "purchase"]),
    timestamp=st.integers(0, 30),
    value=st.none() | st.sampled_from([0.0, 1.0, 2.5]),
)


def folded(history: list[Interaction], keep: int) -> Profile | None:
    profile: Profile | None = None
    for interaction in history:
        profile = fold(profile, interaction, at=50, keep=keep)
    return profile


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8), st.randoms())
def test_order_and_redelivery_make_no_difference(history: list[Interaction], keep: int, random: Random) -> None:
    again = history + random.sample(history, k=len(history) // 2)
    random.shuffle(again)
    assert folded(again, keep) == folded(history, keep)


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8))
def test_a_profile_is_the_newest_of_the_set_oldest_first(history: list[Interaction], keep: int) -> None:
    profile = folded(history, keep)
    assert profile is not None
    times = [seen.timestamp for seen in profile.items]
    distinct = {(i.timestamp or 0, i.item_id, i.event, i.value) for i in history}
    assert times == sorted(moment for moment, *_ in distinct)[-keep:]


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8))
def test_a_redelivered_interaction_changes_nothing(history: list[Interaction], keep: int) -> None:
    profile = folded(history, keep)
    for interaction in history:
        assert fold(profile, interaction, at=60, keep=keep) is profile


def test_without_a_timestamp_the_records_own_counts() -> None:
    profile = fold(None, Interaction(user_id="u", item_id="a"), at=7, keep=3)
    assert (profile.items[0].timestamp, profile.items[0].event, profile.updated_at) == (7, "view", 7)


def test_a_shorter_history_takes_effect_with_the_next_interaction() -> None:
    long = folded([Interaction(user_id="u", item_id="a", timestamp=at) for at in range(10)], keep=10)
    profile = fold(long, Interaction(user_id="u", item_id="b", timestamp=20), at=20, keep=3)
    assert [seen.timestamp for seen in profile.items] == [8, 9, 20]


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8))
def test_every_product_ever_met_is_remembered_and_when_it_last_was(history: list[Interaction], keep: int) -> None:
    profile = folded(history, keep)
    assert profile is not None
    recent = {seen.item_id for seen in profile.items}
    met = {interaction.item_id: 0 for interaction in history if interaction.item_id not in recent}
    for interaction in history:
        if interaction.item_id in met:
            met[interaction.item_id] = max(met[interaction.item_id], interaction.timestamp or 0)
    assert list(profile.earlier.items()) == sorted(met.items(), key=lambda pair: (pair[1], pair[0]))


def test_of_too_many_products_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "EARLIER", 3)
    profile = folded([Interaction(user_id="u", item_id=f"i{at}", timestamp=at) for at in range(10)], keep=2)
    assert profile is not None
    assert (list(profile.earlier), [item.item_id for item in profile.items]) == (["i5", "i6", "i7"], ["i8", "i9"])


def test_a_profile_of_the_first_schema_is_read_and_remembers_from_then_on() -> None:
    """Bytes from before the field `earlier`: JSON without it, Avro with the first schema's fingerprint."""
    profile = Codec().decode(b'{"user_id":"u","items":[],"updated_at":1}', Profile)[0]
    assert profile.earlier == {}
    first = bytes.fromhex(_FIRST)
    assert first.startswith(SINGLE_OBJECT)
    old, _ = Codec().decode(first, Profile)
    after = fold(old, Interaction(user_id="u", item_id="b", timestamp=9), at=9, keep=1)
    assert after.earlier == {"a": 5}
    assert Codec().decode(Codec().encode(after, Encoding.AVRO), Profile)[0] == after


def test_products_of_long_ago_give_way_where_a_profile_would_not_fit_into_a_record(tmp_path: Path) -> None:
    """Of 700 ids with 2,000 characters all recent ones are kept, and as many of the others as fit."""
    keeper, codec, kept_file = Keeper(OldestOffsets(), keep=50), Codec(), open_profile_file(tmp_path, "topic")
    keeper.restart_from(kept_file, 1)
    for at in range(700):
        keeper.fold(("interactions", 0), at, Interaction(user_id="u", item_id=f"{at:02000}", timestamp=at), at)
    data = keeper._known(kept_file, (0, b"u"))
    kept_file.close()
    assert data is not None
    assert len(data) < BY_NAME["profiles"].max_bytes
    profile, _ = codec.decode(data, Profile)
    assert [int(item.item_id) for item in profile.items] == list(range(650, 700))
    kept = [int(item_id) for item_id in profile.earlier]
    assert kept == list(range(kept[0], 650))
    assert len(kept) > 150
