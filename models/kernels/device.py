"""What a computing device needs beside the computation: arrays sent to it, and batches that are too much for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

_Q = TypeVar("_Q")
_A = TypeVar("_A")


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device. To CUDA it goes from pinned memory, so that nobody waits for the copy."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def in_halves(answer: Callable[[Sequence[_Q]], list[_A]], queries: Sequence[_Q]) -> list[_A]:
    """`answer(queries)`; where that takes more memory than the device has, in halves, down to one query at a time."""
    try:
        return answer(queries)
    except torch.OutOfMemoryError:
        if len(queries) < 2:
            raise
    torch.cuda.empty_cache()  # after the except clause: a traceback would keep the batch's tensors alive
    middle = len(queries) // 2
    return in_halves(answer, queries[:middle]) + in_halves(answer, queries[middle:])
