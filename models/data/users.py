"""Users as 64-bit hashes, so that no file of a model contains user ids."""

from __future__ import annotations

import hashlib


def user_hash(user_id: str) -> int:
    """64 bits of BLAKE2b of the id, as a signed integer."""
    digest = hashlib.blake2b(user_id.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
