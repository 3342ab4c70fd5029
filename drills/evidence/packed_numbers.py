"""Columns of numbers in few bytes, without loss: differences in as few bytes each as they need, for gzip to shrink."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_MOST_BITS = 62  # of a whole number that stands for a float
_NANOSECOND = 1e9
_RAW = 0.0  # as a scale: the bits themselves


class PackedInts(Struct, frozen=True):
    """Whole numbers. `order`: how often differences were taken; `firsts`: the first number before each time.

    `data` has the zigzag-coded rest in `width` bytes each, first the lowest byte of all, then the next of all.
    """

    count: int
    order: int
    width: int
    firsts: list[int]
    data: bytes


class PackedFloats(Struct, frozen=True):
    """Floats as whole numbers of 1/`scale`, `less` those of the column that they lie near to; scale 0: their bits."""

    scale: float
    less: bool
    ints: PackedInts


def pack_ints(values: ArrayLike) -> PackedInts:
    """The numbers, packed by differences of the order that leaves the least."""
    rest: Ints = np.asarray(values, dtype=np.int64)
    count, candidates, firsts = len(rest), [], list[int]()
    for order in range(3):
        candidates.append((order, list(firsts), _zigzag(rest)))
        if not len(rest):
            break
        firsts.append(int(rest[0]))
        rest = np.diff(rest)
    order, used, coded = min(candidates, key=lambda each: (_size(each[2]), each[0]))
    width = max(1, (int(coded.max(initial=0)).bit_length() + 7) // 8)
    planes = coded.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return PackedInts(count, order, width, used, planes.T.tobytes())


def unpack_ints(packed: PackedInts) -> Ints:
    """The numbers; raises ValueError for what `pack_ints` did not write."""
    if not 1 <= packed.width <= 8 or packed.order > len(packed.firsts) or packed.count < packed.order:
        raise ValueError("these are no packed numbers")
    planes = np.frombuffer(packed.data, dtype=np.uint8).reshape(packed.width, packed.count - packed.order)
    wide = np.zeros((packed.count - packed.order, 8), dtype=np.uint8)
    wide[:, : packed.width] = planes.T
    coded = wide.view("<u8").reshape(-1)
    rest: Ints = (coded >> np.uint64(1)).astype(np.int64) ^ -(coded & np.uint64(1)).astype(np.int64)
    for first in reversed(packed.firsts[: packed.order]):
        rest = np.cumsum(np.concatenate([np.array([first], dtype=np.int64), rest]), dtype=np.int64)
    return rest


def pack_floats(values: ArrayLike, near: ArrayLike | None = None) -> PackedFloats:
    """The floats, exactly. `near`: a column of as many that differ little from them."""
    floats: Floats = np.asarray(values, dtype=np.float64)
    scale = _scale(floats)
    if scale == _RAW:
        return PackedFloats(scale, False, pack_ints(floats.view(np.int64)))
    ints = np.rint(floats * scale).astype(np.int64)
    less = near is not None and _is_small(np.asarray(near, dtype=np.float64), scale)
    return PackedFloats(scale, less, pack_ints(ints - _ints_near(near, scale) if less else ints))


def unpack_floats(packed: PackedFloats, near: ArrayLike | None = None) -> Floats:
    """The floats; `near` as they were packed."""
    ints = unpack_ints(packed.ints)
    if packed.scale == _RAW:
        return ints.view(np.float64)
    return (ints + _ints_near(near, packed.scale) if packed.less else ints) / packed.scale


def _scale(floats: Floats) -> float:
    """By which all are whole numbers that give the same floats again: nanoseconds, else a power of two."""
    if not np.isfinite(floats).all():
        return _RAW
    largest = float(np.abs(floats).max(initial=0.0))
    if largest < 2.0**_MOST_BITS / _NANOSECOND and _is_exact(floats, _NANOSECOND):
        return _NANOSECOND
    others = floats[floats != 0]
    if not len(others):  # only zeros, one of them negative, which no whole number is
        return _RAW
    exponents = np.frexp(others)[1]
    power = int(53 - exponents.min())
    scale = 2.0**power if abs(power) < 1000 and int(exponents.max()) + power <= _MOST_BITS else _RAW
    return scale if scale and _is_exact(floats, scale) else _RAW


def _is_exact(floats: Floats, scale: float) -> bool:
    again = np.rint(floats * scale).astype(np.int64) / scale
    return bool(np.array_equal(again.view(np.int64), floats.view(np.int64)))


def _is_small(floats: Floats, scale: float) -> bool:
    return bool(np.isfinite(floats).all()) and float(np.abs(floats).max(initial=0.0)) < 2.0**_MOST_BITS / scale


def _ints_near(near: ArrayLike | None, scale: float) -> Ints:
    if near is None:
        raise ValueError("the column that these floats lie near to is missing")
    return np.rint(np.asarray(near, dtype=np.float64) * scale).astype(np.int64)


def _zigzag(values: Ints) -> NDArray[np.uint64]:
    return ((values << 1) ^ (values >> 63)).astype(np.uint64)


def _size(coded: NDArray[np.uint64]) -> float:
    """About how many bits they carry."""
    return float(np.log2(coded.astype(np.float64) + 1).sum())
