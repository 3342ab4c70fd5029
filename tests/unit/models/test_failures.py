"""What a model ran into is told by its exception, and a batch that does not fit is computed in smaller ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.kernels.failures import in_halves, is_of_device, is_out_of_memory

CPU = "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


@pytest.mark.parametrize(
    ("error", "memory", "device"),
    [
        (MemoryError(), True, False),
        (torch.OutOfMemoryError("CUDA out of memory"), True, False),
        (RuntimeError(CPU), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True, False),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), False, True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("device-side assert triggered"), False, False),
        (ValueError("CUDA error: in a text"), False, False),
        (IndexError("index 9 is out of range"), False, False),
    ],
)
def test_what_it_was(error: Exception, memory: bool, device: bool) -> None:
    assert (is_out_of_memory(error), is_of_device(error)) == (memory, device)


def test_torch_itself_says_it_so_when_this_machine_has_too_little_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value), raised.value


@given(st.integers(1, 100), st.integers(1, 100))
def test_whatever_fits_every_query_is_answered_once_and_in_order(count: int, fits: int) -> None:
    ran_out: list[int] = []

    def compute(queries: Sequence[int]) -> list[int]:
        if len(queries) > fits:
            raise MemoryError
        return list(queries)

    assert in_halves(compute, range(count), ran_out.append) == list(range(count))
    assert all(size > fits for size in ran_out)
    assert bool(ran_out) == (count > fits)


def test_one_query_is_tried_twice_and_no_more() -> None:
    tries: list[int] = []

    def compute(queries: Sequence[int]) -> list[int]:
        tries.append(len(queries))
        if len(tries) < 2:
            raise MemoryError
        return list(queries)

    assert in_halves(compute, [7]) == [7]
    assert tries == [1, 1]
    with pytest.raises(MemoryError):
        in_halves(_never, [7, 8, 9])


def _never(_queries: Sequence[int]) -> list[int]:
    raise MemoryError


def test_another_error_is_none_of_its_business() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        in_halves(_wrong_shape, [1, 2])


def _wrong_shape(_queries: Sequence[int]) -> list[int]:
    raise RuntimeError("shape mismatch")
