"""A cache of texts' vectors on disk, by encoder and text, so that training again encodes new texts only."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.encoder.model import Encoder
from standfast.core.home import cache

_MAX_CACHED = 500_000  # vectors in a cache file; beyond, only those of the current texts are kept
_TEXTS_AT_ONCE = 50_000  # texts tokenized together: the tokens of one take 2 KB until it is encoded
_log = structlog.get_logger()


def encode_cached(encoder: Encoder, texts: Sequence[str], done: Callable[[int], None] | None = None) -> Tensor:
    """[len(texts), width] unit vectors on the CPU. Encodes texts that the cache lacks.

    `done` is called with the number of texts that were cached, then with that of each encoded chunk. Processes may call
    this at the same time: each replaces the whole cache file, and vectors lost by that are encoded again.
    """
    keys = [_key(text) for text in texts]
    vectors_by_key = _read(_file(encoder), encoder.width)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors_by_key}
    if done:
        done(sum(key in vectors_by_key for key in keys))
    if missing:
        texts_left = list(missing.values())
        starts = range(0, len(texts_left), _TEXTS_AT_ONCE)
        parts = [encoder.encode(texts_left[start : start + _TEXTS_AT_ONCE], done).cpu() for start in starts]
        vectors_by_key |= dict(zip(missing, torch.cat(parts), strict=True))
        to_cache = vectors_by_key if len(vectors_by_key) <= _MAX_CACHED else {key: vectors_by_key[key] for key in keys}
        _replace(_file(encoder), to_cache)
    return torch.stack([vectors_by_key[key] for key in keys])


def _file(encoder: Encoder) -> Path:
    folder = cache() / "vectors"
    folder.mkdir(exist_ok=True)
    return folder / f"{encoder.digest[:32]}.safetensors"


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _read(path: Path, width: int) -> dict[bytes, Tensor]:
    """The cached vectors by key, without rows that are not unit vectors (a damaged file)."""
    if not path.is_file():
        return {}
    try:
        stored = load_file(path)
        keys, vectors = stored["keys"].numpy().tobytes(), stored["vectors"].clone()
    except (SafetensorError, KeyError, OSError) as problem:
        _log.warning("vector cache unreadable, encoding again", path=str(path), problem=str(problem))
        return {}
    if vectors.shape[1:] != (width,):
        return {}
    is_unit = ((vectors.norm(dim=1) - 1).abs() < 1e-3).tolist()
    return {keys[16 * row : 16 * row + 16]: vectors[row] for row, valid in enumerate(is_unit) if valid}


def _replace(path: Path, vectors_by_key: dict[bytes, Tensor]) -> None:
    keys = torch.frombuffer(bytearray(b"".join(vectors_by_key)), dtype=torch.uint8).view(-1, 16)
    draft = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}")
    try:
        save_file({"keys": keys, "vectors": torch.stack(list(vectors_by_key.values()))}, draft)
        draft.replace(path)
    except (OSError, SafetensorError) as problem:  # safetensors raises SafetensorError for a full disk
        draft.unlink(missing_ok=True)
        _log.warning("vector cache not written", path=str(path), problem=str(problem))
