"""A user's profile as a fold over their interactions.

A profile is the last `keep` of the *set* of a user's interactions, in one total order, and the other products the user
met. So it does not depend on the order of delivery or on duplicates, and interactions may be read again after a crash.
Of the other products the last `EARLIER` are kept; only which of the oldest are among them may depend on the order.
"""

from __future__ import annotations

from bisect import bisect_left

from msgspec.structs import replace

from schemas.records import Interaction, Profile, Seen

EARLIER = 5000  # products kept beyond the recent interactions; 25 bytes each in `profiles`, with ids of six bytes
_Order = tuple[int, str, str, bool, float]


def fold(profile: Profile | None, interaction: Interaction, at: int, keep: int) -> Profile:
    """The profile with this interaction, oldest first; the same object if nothing changes.

    Args:
        profile: None for a user without one.
        at: the record's timestamp, epoch milliseconds; used if the interaction has none.
        keep: how many interactions are kept. Of one that is older than all of a full profile, only the product is kept.
    """
    item = Seen(
        item_id=interaction.item_id,
        event=interaction.event,
        timestamp=at if interaction.timestamp is None else interaction.timestamp,
        value=interaction.value,
    )
    items = list(profile.items) if profile is not None else []
    index = bisect_left(items, _order(item), key=_order)
    if index == len(items) or _order(items[index]) != _order(item):
        items.insert(index, item)
    earlier_before = profile.earlier if profile is not None else {}
    items, items_left = items[-keep:], items[:-keep]
    earlier = _earlier(earlier_before, items_left, {item.item_id for item in items})
    if profile is not None and items == profile.items and earlier == earlier_before:
        return profile
    updated_at = max(profile.updated_at, at) if profile is not None else at
    return Profile(user_id=interaction.user_id, items=items, earlier=earlier, updated_at=updated_at)


def without_oldest(profile: Profile) -> Profile:
    """The profile with only the later half of `earlier`."""
    kept = list(profile.earlier.items())[(len(profile.earlier) + 1) // 2 :]
    return replace(profile, earlier=dict(kept))


def _earlier(earlier_before: dict[str, int], items_left: list[Seen], recent: set[str]) -> dict[str, int]:
    """The new `earlier`, oldest first, after these interactions are no longer among the recent ones."""
    met = {item_id: at for item_id, at in earlier_before.items() if item_id not in recent}
    changed = False
    for item in items_left:
        if item.item_id not in recent and met.get(item.item_id, -1) < item.timestamp:
            met[item.item_id], changed = item.timestamp, True
    if not changed:
        return met
    return dict(sorted(met.items(), key=lambda pair: (pair[1], pair[0]))[-EARLIER:])


def _order(item: Seen) -> _Order:
    """By time, then by all other fields, so that the order is total."""
    return item.timestamp, item.item_id, item.event, item.value is not None, item.value or 0.0
