"""The fold of interactions into a profile."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Interaction, Profile
from streams.profiles import fold

interactions = st.builds(
    Interaction,
    user_id=st.just("u"),
    item_id=st.sampled_from("abcd"),
    event=st.sampled_from(["view", "purchase"]),
    timestamp=st.integers(0, 30),
    value=st.none() | st.sampled_from([0.0, 1.0, 2.5]),
)


def folded(some: list[Interaction], keep: int) -> Profile | None:
    profile: Profile | None = None
    for interaction in some:
        profile = fold(profile, interaction, at=50, keep=keep)
    return profile


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8), st.randoms())
def test_order_and_redelivery_make_no_difference(some: list[Interaction], keep: int, random: Random) -> None:
    again = some + random.sample(some, k=len(some) // 2)
    random.shuffle(again)
    assert folded(again, keep) == folded(some, keep)


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8))
def test_a_profile_is_the_newest_of_the_set_oldest_first(some: list[Interaction], keep: int) -> None:
    profile = folded(some, keep)
    assert profile is not None
    times = [seen.timestamp for seen in profile.items]
    distinct = {(i.timestamp or 0, i.item_id, i.event, i.value) for i in some}
    assert times == sorted(moment for moment, *_ in distinct)[-keep:]


@given(st.lists(interactions, min_size=1, max_size=40), st.integers(1, 8))
def test_a_redelivered_interaction_changes_nothing(some: list[Interaction], keep: int) -> None:
    profile = folded(some, keep)
    for interaction in some:
        assert fold(profile, interaction, at=60, keep=keep) is profile


def test_without_a_timestamp_the_records_own_counts() -> None:
    profile = fold(None, Interaction(user_id="u", item_id="a"), at=7, keep=3)
    assert (profile.items[0].timestamp, profile.items[0].event, profile.updated_at) == (7, "view", 7)


def test_a_shorter_history_takes_effect_with_the_next_interaction() -> None:
    long = folded([Interaction(user_id="u", item_id="a", timestamp=at) for at in range(10)], keep=10)
    profile = fold(long, Interaction(user_id="u", item_id="b", timestamp=20), at=20, keep=3)
    assert [seen.timestamp for seen in profile.items] == [8, 9, 20]
