"""What an event says about liking: one table, for a shop's files, training and the live stream alike.

| event | weight | other names |
| --- | --- | --- |
| view | 0.2 | page_view, product_viewed, view_item, … |
| click | 0.4 | select_item, product_clicked |
| cart | 0.7 | add_to_cart, wishlist, like, begin_checkout, … |
| purchase | 1.0 | buy, order, sale, transaction, … |
| rating | its share of five | rate, review |
| remove_from_cart | takes back up to 0.7 | product_removed, remove_from_wishlist, unlike, … |
| refund | takes back up to 1.0 | return, cancel, chargeback, dislike, … |

What takes back undoes what the same user did before with the same product, if it weighs no more: taking a product out
of the cart undoes the cart and the views that led to it, not an earlier purchase. A value below 0 turns any event into
one that takes back, as shops write a return as a purchase of -1. An event that is not in the table says nothing.
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
_UNRATED, _LOWEST, _HIGHEST = 0.4, 0.05, 5.0
_SIGNS = re.compile(r"[\W_]+")
KNOWN = "view, click, cart, purchase, rating, remove_from_cart and refund"


def weight_of(event: str, value: float | None) -> float:
    """How strong a sign of liking, 0 to 1; below 0 how much it takes back; 0 when it says nothing."""
    name = event if event in _WEIGHTS else _SIGNS.sub("", event).lower()  # Add to Cart, add-to-cart and addToCart
    number = value if value is not None and math.isfinite(value) else None
    if name in _RATINGS:
        return _rating(number)
    weight = _WEIGHTS.get(name, 0.0)
    return -abs(weight) if number is not None and number < 0 else weight


def liked(history: Sequence[Seen]) -> list[Seen]:
    """What of a history, oldest first, speaks for liking and was not taken back later."""
    back: dict[str, float] = {}
    kept = []
    for one in reversed(history):
        weight, taken = weight_of(one.event, one.value), back.get(one.item_id, 0.0)
        if weight < 0:
            back[one.item_id] = max(taken, -weight)
        elif weight > taken:
            kept.append(one)
    return kept[::-1]


def _rating(value: float | None) -> float:
    if value is None:
        return _UNRATED
    if value <= 0:
        return -1.0 if value < 0 else 0.0
    return min(1.0, max(_LOWEST, value / _HIGHEST))
