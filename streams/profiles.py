"""A user's profile as a fold over their interactions.

The profile is the last `keep` of the *set* of a user's interactions in one total order, so it comes out the
same however often and in whatever order they are delivered: that makes it safe to read them again after a crash.
"""

from __future__ import annotations

from bisect import bisect_left

from schemas.records import Interaction, Profile, Seen

_Order = tuple[int, str, str, bool, float]


def fold(profile: Profile | None, interaction: Interaction, at: int, keep: int) -> Profile:
    """The profile with this interaction in it, oldest first; the very same object when nothing changes.

    Args:
        profile: what was known of the user, None when nothing was.
        at: the record's timestamp; counts where the interaction names none.
        keep: how many interactions are kept. One older than all of a full profile is not taken in.
    """
    seen = Seen(
        item_id=interaction.item_id,
        event=interaction.event,
        timestamp=at if interaction.timestamp is None else interaction.timestamp,
        value=interaction.value,
    )
    items = list(profile.items) if profile is not None else []
    place = bisect_left(items, _order(seen), key=_order)
    known = place < len(items) and _order(items[place]) == _order(seen)
    if profile is not None and len(items) <= keep and (known or (place == 0 and len(items) == keep)):
        return profile
    if not known:
        items.insert(place, seen)
    before = profile.updated_at if profile is not None else at
    return Profile(user_id=interaction.user_id, items=items[-keep:], updated_at=max(before, at))


def _order(seen: Seen) -> _Order:
    """By time; what happened at the same millisecond is still in one fixed order."""
    return seen.timestamp, seen.item_id, seen.event, seen.value is not None, seen.value or 0.0
