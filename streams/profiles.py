"""A user's profile as a fold over their interactions.

The profile is the last `keep` of the *set* of a user's interactions in one total order, and all other products they
met, so it comes out the same however often and in whatever order they are delivered: that makes it safe to read them
again after a crash. Of the other products the last `EARLIER` are remembered; only which of the very oldest are still
there may then depend on the order.
"""

from __future__ import annotations

from bisect import bisect_left

from msgspec.structs import replace

from schemas.records import Interaction, Profile, Seen

EARLIER = 5000  # products remembered beyond the recent interactions: 25 bytes each in `profiles`, where ids have six
_Order = tuple[int, str, str, bool, float]


def fold(profile: Profile | None, interaction: Interaction, at: int, keep: int) -> Profile:
    """The profile with this interaction in it, oldest first; the very same object when nothing changes.

    Args:
        profile: what was known of the user, None when nothing was.
        at: the record's timestamp; counts where the interaction names none.
        keep: how many interactions are kept. Of one older than all of a full profile the product is remembered.
    """
    seen = Seen(
        item_id=interaction.item_id,
        event=interaction.event,
        timestamp=at if interaction.timestamp is None else interaction.timestamp,
        value=interaction.value,
    )
    items = list(profile.items) if profile is not None else []
    place = bisect_left(items, _order(seen), key=_order)
    if place == len(items) or _order(items[place]) != _order(seen):
        items.insert(place, seen)
    before = profile.earlier if profile is not None else {}
    items, left = items[-keep:], items[:-keep]
    earlier = _earlier(before, left, {item.item_id for item in items})
    if profile is not None and items == profile.items and earlier == before:
        return profile
    updated_at = max(profile.updated_at, at) if profile is not None else at
    return Profile(user_id=interaction.user_id, items=items, earlier=earlier, updated_at=updated_at)


def without_oldest(profile: Profile) -> Profile:
    """The profile with only the later half of what it remembers beyond the recent interactions."""
    kept = list(profile.earlier.items())[(len(profile.earlier) + 1) // 2 :]
    return replace(profile, earlier=dict(kept))


def _earlier(before: dict[str, int], left: list[Seen], recent: set[str]) -> dict[str, int]:
    """What is remembered once these interactions have left the recent ones, oldest first."""
    met = {item_id: at for item_id, at in before.items() if item_id not in recent}
    changed = False
    for one in left:
        if one.item_id not in recent and met.get(one.item_id, -1) < one.timestamp:
            met[one.item_id], changed = one.timestamp, True
    if not changed:
        return met
    return dict(sorted(met.items(), key=lambda pair: (pair[1], pair[0]))[-EARLIER:])


def _order(seen: Seen) -> _Order:
    """By time; what happened at the same millisecond is still in one fixed order."""
    return seen.timestamp, seen.item_id, seen.event, seen.value is not None, seen.value or 0.0
