"""How strong a sign of liking each event is: one table for a shop's files, for training and for the live stream.

| event | weight | other names |
| --- | --- | --- |
| view | 0.2 | page_view, product_viewed, view_item, … |
| click | 0.4 | select_item, product_clicked |
| cart | 0.7 | add_to_cart, wishlist, like, begin_checkout, … |
| purchase | 1.0 | buy, order, sale, transaction, … |
| rating | its share of five | rate, review |
| remove_from_cart | takes back up to 0.7 | product_removed, remove_from_wishlist, unlike, … |
| refund | takes back up to 1.0 | return, cancel, chargeback, dislike, … |

An event that takes back undoes the same user's earlier events with the same product that weigh no more: removing a
product from the cart undoes the cart event and the views before it, not an earlier purchase. A value below 0 makes any
event one that takes back, because shops write a return as a purchase of -1. Events that are not in the table weigh 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from schemas.records import Seen

_NAMES = {
    0.2: "view viewed pageview viewpage productview productviewed viewproduct viewitem itemview visit detail",
    0.4: "click clicked selectitem productclick productclicked clickproduct itemclick",
    0.7: "cart addtocart cartadd addcart addedtocart productadded basket addtobasket begincheckout checkout "
    "checkoutstarted wishlist addtowishlist productaddedtowishlist favorite favourite addtofavorites "
    "like liked bookmark",
    1.0: "purchase purchased buy bought order ordered orderplaced ordercompleted sale sold transaction",
    -0.7: "removefromcart removedfromcart cartremove removecart productremoved removefrombasket removefromwishlist "
    "productremovedfromwishlist unlike unfavorite unfavourite",
    -1.0: "refund refunded orderrefunded return returned cancel canceled cancelled ordercanceled ordercancelled "
    "cancellation chargeback dislike disliked",
}
_WEIGHTS = {name: weight for weight, names in _NAMES.items() for name in names.split()}
_RATINGS = frozenset({"rating", "rate", "rated", "review"})
_UNRATED, _LOWEST, _HIGHEST = 0.4, 0.05, 5.0  # weights of a rating without a value and of the lowest; the best rating
_PUNCTUATION = re.compile(r"[\W_]+")
KNOWN = "view, click, cart, purchase, rating, remove_from_cart and refund"


def weight_of(event: str, value: float | None) -> float:
    """The weight of an event as a sign of liking, 0 to 1; below 0 if it takes back that much; 0 if it is unknown."""
    name = event if event in _WEIGHTS else _PUNCTUATION.sub("", event).lower()  # Add to Cart, add-to-cart and addToCart
    finite_value = value if value is not None and math.isfinite(value) else None
    if name in _RATINGS:
        return _rating(finite_value)
    weight = _WEIGHTS.get(name, 0.0)
    return -abs(weight) if finite_value is not None and finite_value < 0 else weight


def liked(history: Sequence[Seen]) -> list[Seen]:
    """The interactions of a history, oldest first, that are signs of liking and were not taken back later."""
    undone: dict[str, float] = {}
    kept = []
    for interaction in reversed(history):
        weight = weight_of(interaction.event, interaction.value)
        undone_up_to = undone.get(interaction.item_id, 0.0)
        if weight < 0:
            undone[interaction.item_id] = max(undone_up_to, -weight)
        elif weight > undone_up_to:
            kept.append(interaction)
    return kept[::-1]


def _rating(value: float | None) -> float:
    if value is None:
        return _UNRATED
    if value <= 0:
        return -1.0 if value < 0 else 0.0
    return min(1.0, max(_LOWEST, value / _HIGHEST))
