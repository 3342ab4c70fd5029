"""The arrays of a loaded model in memory, and whether every bit of them is still what was loaded.

All tensors and numpy arrays that can be reached from the model count, but those in attributes that an object names in
`scratch`, into which it writes while it computes. Each array is divided into chunks with a CRC-32 each, so that a check
can be done little by little. CRC-32 finds every change of one bit, of two, and of up to 32 in a row (docs/adr/0015).
Python objects, such as ids and titles, are not covered.
"""

from __future__ import annotations

import ctypes
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from zlib import crc32

CHUNK = 256 * 1024  # bytes, which take 0.08 ms
_TOP_EXPONENT = 0x40  # in the last byte of a little-endian float of any width


@dataclass(frozen=True)
class Region:
    """One array's memory: a ctypes array of its bytes, or a tensor of them on a device. `owner` keeps it alive.

    `floats`: the bytes of each element if they are floating-point numbers, else 0.
    """

    name: str
    size: int
    floats: int
    memory: Any
    owner: Any

    def crc(self, begin: int) -> int:
        """The CRC-32 of the chunk that begins there."""
        end = min(begin + CHUNK, self.size)
        on_device = not isinstance(self.memory, ctypes.Array)
        return crc32(self.memory[begin:end].cpu().numpy() if on_device else memoryview(self.memory)[begin:end])


@dataclass(frozen=True)
class Bit:
    """The highest bit of the exponent of one weight. Flipping it twice leaves the weight as it was."""

    region: Region
    byte: int

    def flip(self) -> None:
        """Flips it in this process's memory."""
        self.region.memory[self.byte] = int(self.region.memory[self.byte]) ^ _TOP_EXPONENT


class Weights:
    """What regions a model has, with the checksums that they had when this was made."""

    def __init__(self, model: object) -> None:
        self.regions = list(_regions(model))
        self._chunks = [
            (region, begin, region.crc(begin)) for region in self.regions for begin in range(0, region.size, CHUNK)
        ]

    def __len__(self) -> int:
        """How many chunks there are to be checked."""
        return len(self._chunks)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(region.size for region in self.regions)

    def damage(self, first: int = 0, count: int = sys.maxsize) -> str:
        """What is wrong with `count` chunks from chunk number `first` on, in words; empty if nothing is."""
        for region, begin, expected in self._chunks[first : first + count]:
            if region.crc(begin) != expected:
                return f"{region.name} is not what was loaded, from its byte {begin:,} on"
        return ""

    def bit(self, seed: int) -> Bit | None:
        """A bit that the seed chooses among all floating-point weights; None for a model without any."""
        floats = [region for region in self.regions if region.floats]
        if not floats:
            return None
        chance = random.Random(seed)
        (region,) = chance.choices(floats, weights=[region.size for region in floats])
        element = chance.randrange(region.size // region.floats)
        return Bit(region, (element + 1) * region.floats - 1)


def _regions(model: object) -> Iterator[Region]:
    """Every array once, whatever the number of ways that lead to it, or of views of its memory."""
    seen: dict[int, object] = {}  # kept alive meanwhile, so that no id is used twice
    taken: set[tuple[int, int]] = set()
    waiting: list[tuple[str, object]] = [(type(model).__name__, model)]
    while waiting:
        name, found = waiting.pop()
        if id(found) in seen:
            continue
        seen[id(found)] = found
        kind = _kind(found)
        if not kind:
            waiting += _parts(name, found)
            continue
        address, region = _of_numpy(name, found) if kind == "numpy" else _of_torch(name, found)
        if region.size and (address, region.size) not in taken:
            taken.add((address, region.size))
            yield region


def _kind(found: object) -> str:
    """`numpy` or `torch` for an array; a process that has not imported a library has none of its arrays."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(found, numpy.ndarray):
        return "numpy"
    return "torch" if torch is not None and isinstance(found, torch.Tensor) else ""


def _parts(name: str, found: object) -> Iterator[tuple[str, object]]:
    """What an object holds: attributes, elements, and what a function was made with."""
    if isinstance(found, dict):
        yield from ((f"{name}[{key!r:.40}]", value) for key, value in found.items() if not _is_plain(value))
    elif isinstance(found, list | tuple):
        yield from ((f"{name}[{index}]", value) for index, value in enumerate(found) if not _is_plain(value))
    elif isinstance(found, partial):
        yield from ((name, part) for part in (found.func, found.args, found.keywords))
    elif isinstance(found, FunctionType):
        yield from ((name, cell.cell_contents) for cell in found.__closure__ or ())
    elif isinstance(found, MethodType):
        yield name, found.__self__
    elif type(found).__module__ != "builtins":
        yield from _attributes(name, found)


def _attributes(name: str, found: object) -> Iterator[tuple[str, object]]:
    slots = [slot for kind in type(found).__mro__ for slot in _slots(kind)]
    held = {**{slot: getattr(found, slot, None) for slot in slots}, **getattr(found, "__dict__", {})}
    scratch = getattr(found, "scratch", ())
    yield from ((f"{name}.{key.strip('_')}", value) for key, value in held.items() if key not in scratch)


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_plain(value: object) -> bool:
    """A catalogue has a list of ids and a list of titles, a million texts each: they are not looked into."""
    return value is None or isinstance(value, str | bytes | int | float)


def _of_numpy(name: str, array: Any) -> tuple[int, Region]:
    """The array's address and region. That of a view with gaps is the memory which it is a view of."""
    while not array.flags.forc and array.base is not None:
        array = array.base
    size = 0 if array.dtype.hasobject else int(array.nbytes)
    floats = int(array.itemsize) if array.dtype.kind == "f" else 0
    address = int(array.__array_interface__["data"][0])
    return address, Region(name, size, floats, _at(address, size), array)


def _of_torch(name: str, tensor: Any) -> tuple[int, Region]:
    torch = sys.modules["torch"]
    floats = int(tensor.element_size()) if tensor.is_floating_point() else 0
    if tensor.is_mkldnn:  # packed by oneDNN; torch has no public name for its memory
        address, size = int(torch.ops.mkldnn.data_ptr(tensor)), int(torch.ops.mkldnn._nbytes(tensor))  # noqa: SLF001
        return address, Region(name, size, floats, _at(address, size), tensor)
    storage = tensor.untyped_storage()
    address, size = int(storage.data_ptr()), int(storage.nbytes())
    if tensor.device.type == "cpu":
        return address, Region(name, size, floats, _at(address, size), tensor)
    flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
    return address, Region(name, size, floats, flat, tensor)


def _at(address: int, size: int) -> Any:
    return (ctypes.c_ubyte * size).from_address(address)
