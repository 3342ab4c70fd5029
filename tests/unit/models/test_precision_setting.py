"""`precision = "float32"`: a process that loads a model with it computes nothing in bfloat16."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from models.kernels import linear

_LOAD = """
from models.kernels import linear
linear.has_bf16 = lambda _device: True
from models.loading import load
import torch
load({service!r}, device="cpu", precision={precision!r})
print(linear.serving_dtype(torch.device("cpu")))
"""


@pytest.mark.usefixtures("sample_home")
@pytest.mark.parametrize("service", ["search", "recommend"])
def test_float32_holds_for_the_process_that_loads_with_it(service: str) -> None:
    code = _LOAD.format(service=service, precision="float32")
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == "torch.float32"


def test_without_it_the_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(linear, "has_bf16", lambda _device, has=has: has)
        assert linear.serving_dtype(torch.device("cpu")) is dtype
