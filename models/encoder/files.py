"""Reads and checks an encoder's folder, as Hugging Face and sentence-transformers write it.

A folder from which sentence-transformers would compute other vectors than this package is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from standfast.core.errors import ModelError

MAX_TOKENS = 256  # the max_seq_length of all-MiniLM-L6-v2, the bundled encoder
_NEEDED = ("config.json", "tokenizer.json")
_GIT_LFS = b"version https://git-lfs"
_MODULES = {"Transformer", "Pooling", "Normalize"}
# Position ids of these architectures start at the padding token's id + 1, so the first two are never used.
_POSITIONS_FROM_TWO = {"camembert", "mpnet", "roberta", "xlm-roberta"}

Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder's folder, its `config.json`, its pooling, its token limit for a text, and whether it lowers case."""

    folder: Path
    config: dict[str, Any]
    pooling: Pooling
    longest: int
    lower: bool

    def tokenizer(self) -> Tokenizer:
        """A tokenizer that truncates texts to `longest` tokens and adds no padding. Raises ModelError."""
        path = self.folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:
            raise _damaged(path, problem) from problem
        tokens, words = tokenizer.get_vocab_size(), int(self.config.get("vocab_size", 0))
        if words and tokens > words:
            raise ModelError(f"{path} has {tokens:,} tokens and the weights have {words:,}: they are of two models")
        tokenizer.enable_truncation(self.longest)
        tokenizer.no_padding()
        return tokenizer

    def settings(self) -> str:
        """The settings that change the vectors, besides weights and tokenizer; "" for those that most encoders have."""
        usual = self.pooling == "mean" and self.longest == MAX_TOKENS and not self.lower
        return "" if usual else f"{self.pooling} {self.longest} {self.lower}"


def read_encoder_files(folder: Path) -> EncoderFiles:
    """The files of an encoder. Raises ModelError that names the file, what is wrong with it, and the remedy."""
    weights = sorted(folder.glob("*.safetensors"))
    missing_files = [name for name in _NEEDED if not (folder / name).is_file()] + ([] if weights else ["*.safetensors"])
    if missing_files:
        raise ModelError(
            f"{folder} is no encoder: it lacks {', '.join(missing_files)}; name a folder that has them, or a hub name"
        )
    _refuse_pointers([*weights, *(folder / name for name in _NEEDED)])
    config = _object(folder / "config.json")
    st_config = _object(folder / "sentence_bert_config.json", default={})
    return EncoderFiles(
        folder, config, _pooling(folder), _longest(config, st_config), bool(st_config.get("do_lower_case"))
    )


def _refuse_pointers(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            if file.read(len(_GIT_LFS)) == _GIT_LFS:
                raise ModelError(
                    f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"
                )


def _pooling(folder: Path) -> Pooling:
    """The pooling that `modules.json` names; the mean for a folder without it, as in sentence-transformers."""
    modules = _list(folder / "modules.json")
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _MODULES:
            raise ModelError(
                f"{folder / 'modules.json'} names a {kind} layer, which is not computed here; use another encoder"
            )
    poolings = (str(module.get("path", "")) for module in modules if str(module.get("type", "")).endswith("Pooling"))
    pooling_folder = next(poolings, "1_Pooling")
    pooling_config = _object(folder / pooling_folder / "config.json", default={})
    chosen = [
        name.removeprefix("pooling_mode_")
        for name, on in pooling_config.items()
        if name.startswith("pooling_mode_") and on is True
    ]
    modes = [str(pooling_config["pooling_mode"])] if "pooling_mode" in pooling_config else chosen
    if modes in ([], ["mean_tokens"], ["mean"]):
        return "mean"
    if modes in (["cls_token"], ["cls"]):
        return "cls"
    raise ModelError(
        f"{folder / pooling_folder} pools by {' and '.join(modes)}; mean and cls are known here: use another encoder"
    )


def _longest(config: dict[str, Any], st_config: dict[str, Any]) -> int:
    limits = [MAX_TOKENS]
    if st_config.get("max_seq_length"):
        limits.append(int(st_config["max_seq_length"]))
    if config.get("max_position_embeddings"):
        unused = 2 if config.get("model_type") in _POSITIONS_FROM_TWO else 0
        limits.append(int(config["max_position_embeddings"]) - unused)
    return min(limits)


def _object(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    content = _json(path, default)
    if not isinstance(content, dict):
        raise _damaged(path, "it is no JSON object")
    return content


def _list(path: Path) -> list[dict[str, Any]]:
    content = _json(path, [])
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise _damaged(path, "it is no list of JSON objects")
    return content


def _json(path: Path, default: object) -> object:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise _damaged(path, problem) from problem


def _damaged(path: Path, problem: object) -> ModelError:
    return ModelError(f"{path} is cut or damaged ({problem}); copy the encoder's folder again")
