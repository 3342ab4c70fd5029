"""An embedding bag: for each history, the weighted sum of the table's rows that it names."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.device import to_device
from models.kernels.ragged import Ragged


class EmbeddingBag:
    """A table [rows, width] whose rows are summed.

    On a CPU the table is quantized to one byte a number, with a scale for each row: 61 rows of 3,747 numbers are summed
    in 19 µs. float16 takes 30 µs and evicts everything else from the processor's cache. On CUDA it is float16.
    """

    def __init__(self, table: Tensor) -> None:
        self._rows, self._packed = len(table), table.device.type == "cpu" and table.numel() > 0
        pack = torch.ops.quantized.embedding_bag_byte_prepack
        self._table: Tensor = pack(table.float()) if self._packed else table.half()

    def __len__(self) -> int:
        return self._rows

    def of(self, history: Ragged, weights: NDArray[np.float32]) -> Tensor:
        """[histories, width] float32; zeros for an empty history. `weights`: one for each of the history's values."""
        arrays = (history.values, history.starts, weights)
        indices, starts, row_weights = (to_device(array, self._table.device) for array in arrays)
        if not self._packed:
            weights_f16 = row_weights.to(self._table.dtype)
            return F.embedding_bag(indices, self._table, starts, mode="sum", per_sample_weights=weights_f16).float()
        sums: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
            self._table, indices, starts, False, 0, False, row_weights, None, False
        )
        return sums
