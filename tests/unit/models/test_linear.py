"""Linear layers: the same result packed or not, and few sizes for which kernels are made."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name every torch reader knows

from models.kernels import linear
from models.kernels.linear import Linear, padded_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [True, False])
def test_a_layer_packed_or_not_gives_the_product_and_its_gelu(
    dtype: torch.dtype, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:
        monkeypatch.setattr(linear, "_packs", lambda *_: False)
    draw = torch.Generator().manual_seed(1)
    weight, bias, x = (torch.randn(*size, generator=draw).to(dtype) for size in ((48, 32), (48,), (7, 32)))
    layer = Linear(weight, bias, dtype)
    wanted = F.linear(x.double(), weight.double(), bias.double())
    near = 1e-5 if dtype is torch.float32 else 0.02
    assert torch.allclose(layer(x).double(), wanted, atol=near, rtol=near)
    assert torch.allclose(layer.gelu(x).double(), F.gelu(wanted), atol=near, rtol=near)


def test_bfloat16_is_packed_only_where_the_processor_can_lay_it_out() -> None:
    cpu, able = torch.device("cpu"), torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert linear._packs(cpu, torch.bfloat16) == (able and linear._packs(cpu, torch.float32))


def test_rows_are_filled_up_to_a_few_sizes_and_by_little() -> None:
    sizes = {padded_rows(rows) for rows in range(1, 257)}
    assert len(sizes) <= 56
    for rows in range(1, 257):
        assert rows <= padded_rows(rows) <= 1.13 * rows
        assert padded_rows(padded_rows(rows)) == padded_rows(rows)
