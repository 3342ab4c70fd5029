"""What a model ran into: too little memory, which a smaller batch may not need; or a device that is lost for good."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

_Q = TypeVar("_Q")
_A = TypeVar("_A")
# As torch's CPU allocator and cuBLAS say it; they raise a plain RuntimeError.
_NO_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "not enough memory")
_OF_CUDA = "CUDA error:"


def in_halves(
    compute: Callable[[Sequence[_Q]], list[_A]],
    queries: Sequence[_Q],
    ran_out: Callable[[int], object] = lambda _size: None,
) -> list[_A]:
    """`compute(queries)`; where memory runs out, in halves, down to one query at a time, which is tried twice.

    `ran_out` is called with the size of each batch that did not fit. Raises what the last try raises.
    """
    try:
        return compute(queries)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    _give_back()  # outside the except clause: the traceback there keeps the batch's tensors alive
    ran_out(len(queries))
    if len(queries) < 2:
        return compute(queries)
    middle = len(queries) // 2
    return in_halves(compute, queries[:middle], ran_out) + in_halves(compute, queries[middle:], ran_out)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of this machine or of a CUDA device."""
    return isinstance(error, MemoryError) or _is_torchs(error, "OutOfMemoryError") or _says(error, *_NO_MEMORY)


def is_of_device(error: BaseException) -> bool:
    """Whether a CUDA device has failed; most such errors stick until the process ends, but not all."""
    is_cuda = _is_torchs(error, "AcceleratorError") or _says(error, _OF_CUDA)
    return is_cuda and not is_out_of_memory(error)


def _is_torchs(error: BaseException, name: str) -> bool:
    """A process that has not imported torch, as a worker with a model of another kind, has none of its errors."""
    kind = getattr(sys.modules.get("torch"), name, None)
    return kind is not None and isinstance(error, kind)


def _says(error: BaseException, *words: str) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _give_back() -> None:
    """Returns what torch's cache of device memory holds and nobody uses."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
