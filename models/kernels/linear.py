"""Linear layers whose weights are packed once for this processor's kernels, instead of at every call."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from torch import Tensor


class Linear:
    """`x @ weight.T + bias`, for `x` in the weight's own precision.

    On x86 oneDNN computes it with a packed weight, in half the time of `F.linear` for one short text, in float32 too.
    Elsewhere, and for bfloat16 on a processor for which oneDNN has no such kernel (Zen 2 and 3), it is `F.linear`.
    Packed or not, the weight is plain memory, which forked workers share.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self._weight, self._bias = weight.to(dtype).contiguous(), None if bias is None else bias.to(dtype)
        self._packed = _packs(weight.device, dtype)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, None)  # noqa: SLF001

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, outputs] in the precision of `x`."""
        return self._pointwise(x, "none") if self._packed else F.linear(x, self._weight, self._bias)

    def gelu(self, x: Tensor) -> Tensor:
        """The same with GELU applied; a packed layer applies it before it rounds to its precision."""
        return self._pointwise(x, "gelu") if self._packed else F.gelu(F.linear(x, self._weight, self._bias))

    def _pointwise(self, x: Tensor, activation: str) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise.default(  # noqa: SLF001
            x, self._weight, self._bias, activation, [], "none" if activation == "gelu" else ""
        )
        return product


def padded_rows(rows: int) -> int:
    """The number of rows to which a batch of `rows` rows is padded.

    oneDNN generates machine code for each number of rows it meets: 3 ms and 2.5 MB for the four shapes of a BERT
    layer. So batches are padded, by 2 % on average, to one of 55 sizes up to 256 rows.
    """
    step = min(8, 1 << max(0, (rows - 1).bit_length() - 4))
    return -(-rows // step) * step


SIZES = sorted({padded_rows(rows) for rows in range(2, 257)})  # from an empty text, [CLS] [SEP], to a full chunk


_allowed = {"bf16": True}


def only_float32() -> None:
    """Keeps what this process loads from now on from bfloat16, so that answers and figures are those of any machine."""
    _allowed["bf16"] = False


def serving_dtype(device: torch.device) -> torch.dtype:
    """The fastest precision for linear layers on this device; float16 on CUDA devices older than 8.0."""
    if not _allowed["bf16"]:
        return torch.float32
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float16
    return torch.bfloat16 if has_bf16(device) else torch.float32


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster on this device: always on CUDA; on a CPU only with AMX or AVX-512 bfloat16."""
    if device.type == "cuda":
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN packs this weight here: bfloat16 only where the processor has AVX-512BW or AVX-NE-CONVERT."""
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    if device.type != "cpu" or not x86 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype is not torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001
