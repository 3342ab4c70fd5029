"""Copies arrays to a torch device, and splits batches that do not fit into its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

_Q = TypeVar("_Q")
_A = TypeVar("_A")


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device. Copies to CUDA go from pinned memory, so that the caller does not wait."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def in_halves(compute: Callable[[Sequence[_Q]], list[_A]], queries: Sequence[_Q]) -> list[_A]:
    """`compute(queries)`; split in halves when the device runs out of memory, down to one query at a time.

    Raises torch.OutOfMemoryError when one query alone does not fit.
    """
    try:
        return compute(queries)
    except torch.OutOfMemoryError:
        if len(queries) < 2:
            raise
    torch.cuda.empty_cache()  # outside the except clause: the traceback there keeps the batch's tensors alive
    middle = len(queries) // 2
    return in_halves(compute, queries[:middle]) + in_halves(compute, queries[middle:])
