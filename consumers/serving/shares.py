"""Which keys are in a share of them: by hash alone, so that workers, hosts and restarts agree without talking.

A key's place is a number that looks random; it is in the share if the number is small enough. So a key that is in a
share is in every larger one too. The salt, a challenger's label, gives each canary other keys.
"""

from __future__ import annotations

from hashlib import blake2b

_PLACES = 1 << 64


def place(salt: str, key: bytes) -> int:
    """The key's place, 0 to 2^64 - 1: the same in any process, at any time."""
    return int.from_bytes(blake2b(key, digest_size=8, key=salt.encode()[-64:]).digest(), "big")


def limit(share: float) -> int:
    """The places below this one make up the share, 0 to 1, of all keys."""
    return round(share * _PLACES)
