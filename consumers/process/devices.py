"""Which CUDA device each worker computes on: one worker per device, as long as there are enough devices."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from standfast.core.errors import ModelError


def uses_cuda(device: str) -> bool:
    """Whether workers with this `device` setting compute on CUDA; asks the driver without creating a CUDA context."""
    if device == "cpu":
        return False
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    import torch

    return device.startswith("cuda") or bool(torch.cuda.is_available())


def visible(device: str) -> list[str]:
    """The devices that workers may use, as in CUDA_VISIBLE_DEVICES: all of them, or the one in `device` (`cuda:1`).

    Raises ModelError when there is none.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        devices = [name.strip() for name in named.split(",")]
    else:
        import torch

        devices = [str(number) for number in range(torch.cuda.device_count())]
    number = device.partition(":")[2]
    chosen = devices[int(number) : int(number) + 1] if number else devices
    if not chosen:
        raise ModelError(
            f"device {device!r} was asked for, but there are {len(devices)} CUDA devices here; use auto or cpu"
        )
    return chosen


def freest(devices: Sequence[str], taken: Iterable[str]) -> str:
    """The device with the fewest processes; `taken` has the device of each worker and standby."""
    counts = Counter(taken)
    return min(devices, key=lambda device: counts[device])
