"""Rows of a table added up: for each history the rows it names, each with its weight."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from numpy.typing import NDArray
from torch import Tensor

from models.device import sent
from models.ragged import Ragged


class Summed:
    """A table [rows, width] that is read again and again.

    On a CPU a number takes one byte, each row with its own scale: 61 rows of 3,747 numbers are added in 19 µs, where
    float16 takes 30 and crowds everything else out of the processor's cache. On CUDA it takes two.
    """

    def __init__(self, table: Tensor) -> None:
        self._device, self._shape = table.device, table.shape
        packs = table.device.type == "cpu" and table.numel() > 0
        self._pack = torch.ops.quantized.embedding_bag_byte_prepack(table.float()) if packs else None
        self._rows = None if packs else table.half()

    def __len__(self) -> int:
        return int(self._shape[0])

    def of(self, history: Ragged, weights: NDArray[np.float32]) -> Tensor:
        """[histories, width] float32; zeros for an empty history. One weight for each of its values."""
        places, starts, shares = (sent(part, self._device) for part in (history.values, history.starts, weights))
        if self._pack is not None:
            found: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
                self._pack, places, starts, False, 0, False, shares, None, False
            )
            return found
        assert self._rows is not None
        return F.embedding_bag(
            places, self._rows, starts, mode="sum", per_sample_weights=shares.to(self._rows.dtype)
        ).float()
