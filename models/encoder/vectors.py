"""Vectors of texts, encoded once: kept by encoder and text, so that training again is quick."""

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

_KEPT, _AT_ONCE = 500_000, 50_000  # a text's tokens take 2 KB while it waits to be encoded
_log = structlog.get_logger()


def encoded(encoder: Encoder, texts: Sequence[str], done: Callable[[int], None] | None = None) -> Tensor:
    """[len(texts), width] unit vectors on the CPU. Encodes what the cache lacks; `done` counts texts as they come.

    Processes may do this at the same time: each replaces the cache file whole, and what one of them loses is
    only encoded again.
    """
    keys = [_key(text) for text in texts]
    known = _read(_file(encoder), encoder.width)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if done:
        done(sum(key in known for key in keys))
    if missing:
        new = list(missing.values())
        fresh = torch.cat([encoder.encode(new[i : i + _AT_ONCE], done).cpu() for i in range(0, len(new), _AT_ONCE)])
        known |= dict(zip(missing, fresh, strict=True))
        keep = known if len(known) <= _KEPT else {key: known[key] for key in keys}
        _replace(_file(encoder), keep)
    return torch.stack([known[key] for key in keys])


def _file(encoder: Encoder) -> Path:
    folder = cache() / "vectors"
    folder.mkdir(exist_ok=True)
    return folder / f"{encoder.digest[:32]}.safetensors"


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _read(path: Path, width: int) -> dict[bytes, Tensor]:
    """What the file holds; rows that are no unit vectors (a damaged file) are left out."""
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
    sound = ((vectors.norm(dim=1) - 1).abs() < 1e-3).tolist()
    return {keys[16 * row : 16 * row + 16]: vectors[row] for row, good in enumerate(sound) if good}


def _replace(path: Path, known: dict[bytes, Tensor]) -> None:
    keys = torch.frombuffer(bytearray(b"".join(known)), dtype=torch.uint8).view(-1, 16)
    draft = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}")
    try:
        save_file({"keys": keys, "vectors": torch.stack(list(known.values()))}, draft)
        draft.replace(path)
    except (OSError, SafetensorError) as problem:  # safetensors says of a full disk that it is an error of its own
        draft.unlink(missing_ok=True)
        _log.warning("vector cache not written", path=str(path), problem=str(problem))
