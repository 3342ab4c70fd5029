"""A text as 64 bits: ids and names in files and tables without being readable there."""

from __future__ import annotations

import hashlib


def hash64(text: str) -> int:
    """64 bits of BLAKE2b of the text, as a signed integer."""
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
