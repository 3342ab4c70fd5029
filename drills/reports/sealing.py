"""The digest of a report's file, which is written into the file itself: whoever changed a character of it is found out.

It covers every byte, the visible ones too; the digest's own place counts as zeros. It is no signature: who changes a
file can also write a new digest. Therefore `verifying` also draws the page anew from the evidence inside.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

UNSEALED: Final = "0" * 64
_PLACE = re.compile(rb'<meta name="standfast-digest" content="([0-9a-f]{64})">')


def sealed(text: str) -> str:
    """The page with its digest in place of the zeros."""
    return text.replace(UNSEALED, digest_of(text.encode()), 1)


def is_sealed(data: bytes) -> bool:
    """Whether these bytes have the digest that belongs to them, once."""
    places = list(_PLACE.finditer(data))
    if len(places) != 1:
        return False
    start, end = places[0].span(1)
    return digest_of(data[:start] + UNSEALED.encode() + data[end:]) == places[0].group(1).decode()


def digest_of(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()
