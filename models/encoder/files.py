"""What lies in an encoder's folder, as Hugging Face and sentence-transformers write it, checked before it is used.

A folder that would give other vectors than sentence-transformers gives from it is refused, never read past.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from standfast.core.errors import ModelError

MAX_TOKENS = 256
_NEEDED = ("config.json", "tokenizer.json")
_GIT_LFS = b"version https://git-lfs"
_MODULES = {"Transformer", "Pooling", "Normalize"}
# These number positions from the padding token's id + 1 on, so that two of them are never used.
_POSITIONS_FROM_TWO = {"camembert", "mpnet", "roberta", "xlm-roberta"}

Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder's folder: its `config.json`, how tokens become one vector, and the most tokens of a text."""

    folder: Path
    config: dict[str, Any]
    pooling: Pooling
    longest: int
    lower: bool

    def tokenizer(self) -> Tokenizer:
        """Cuts texts off after `longest` tokens and fills none up. Raises ModelError."""
        path = self.folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:
            raise _damaged(path, problem) from problem
        known, words = tokenizer.get_vocab_size(), int(self.config.get("vocab_size", 0))
        if words and known > words:
            raise ModelError(f"{path} has {known:,} tokens and the weights have {words:,}: they are of two models")
        tokenizer.enable_truncation(self.longest)
        tokenizer.no_padding()
        return tokenizer

    def settings(self) -> str:
        """What else than weights and tokenizer decides over the vectors; "" for what most encoders have."""
        usual = self.pooling == "mean" and self.longest == MAX_TOKENS and not self.lower
        return "" if usual else f"{self.pooling} {self.longest} {self.lower}"


def read_encoder_files(folder: Path) -> EncoderFiles:
    """The files of an encoder. Raises ModelError that names the file, what is wrong with it, and the remedy."""
    weights = sorted(folder.glob("*.safetensors"))
    lacks = [name for name in _NEEDED if not (folder / name).is_file()] + ([] if weights else ["*.safetensors"])
    if lacks:
        raise ModelError(
            f"{folder} is no encoder: it lacks {', '.join(lacks)}; name a folder that has them, or a hub name"
        )
    _refuse_pointers([*weights, *(folder / name for name in _NEEDED)])
    config = _object(folder / "config.json")
    own = _object(folder / "sentence_bert_config.json", missing={})
    return EncoderFiles(folder, config, _pooling(folder), _longest(config, own), bool(own.get("do_lower_case")))


def _refuse_pointers(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            if file.read(len(_GIT_LFS)) == _GIT_LFS:
                raise ModelError(
                    f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"
                )


def _pooling(folder: Path) -> Pooling:
    """As sentence-transformers does: by the modules it lists; the mean where the folder is a bare transformer."""
    modules = _list(folder / "modules.json")
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _MODULES:
            raise ModelError(
                f"{folder / 'modules.json'} names a {kind} layer, which is not computed here; use another encoder"
            )
    place = next((str(m.get("path", "")) for m in modules if str(m.get("type", "")).endswith("Pooling")), "1_Pooling")
    own = _object(folder / place / "config.json", missing={})
    chosen = [
        name.removeprefix("pooling_mode_")
        for name, on in own.items()
        if name.startswith("pooling_mode_") and on is True
    ]
    modes = [str(own["pooling_mode"])] if "pooling_mode" in own else chosen
    if modes in ([], ["mean_tokens"], ["mean"]):
        return "mean"
    if modes in (["cls_token"], ["cls"]):
        return "cls"
    raise ModelError(
        f"{folder / place} pools by {' and '.join(modes)}; mean and cls are known here: use another encoder"
    )


def _longest(config: dict[str, Any], own: dict[str, Any]) -> int:
    limits = [MAX_TOKENS]
    if own.get("max_seq_length"):
        limits.append(int(own["max_seq_length"]))
    if config.get("max_position_embeddings"):
        unused = 2 if config.get("model_type") in _POSITIONS_FROM_TWO else 0
        limits.append(int(config["max_position_embeddings"]) - unused)
    return min(limits)


def _object(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    read = _json(path, missing)
    if not isinstance(read, dict):
        raise _damaged(path, "it is no JSON object")
    return read


def _list(path: Path) -> list[dict[str, Any]]:
    read = _json(path, [])
    if not isinstance(read, list) or not all(isinstance(row, dict) for row in read):
        raise _damaged(path, "it is no list of JSON objects")
    return read


def _json(path: Path, missing: object) -> object:
    if missing is not None and not path.is_file():
        return missing
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise _damaged(path, problem) from problem


def _damaged(path: Path, problem: object) -> ModelError:
    return ModelError(f"{path} is cut or damaged ({problem}); copy the encoder's folder again")
