"""Vectors do not depend on the other texts in a batch, equal those of transformers, and are cached."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.encoder.model import Encoder, _AutoBackbone, encoder_folder, load_encoder
from models.encoder.vectors import encode_cached
from standfast.core.errors import ModelError

_TEXTS = [
    "white hanging heart t-light holder",
    "lunch bag",
    "",
    "a",
    "long " * 400,
    "Weihnachtsschmuck für den Baum ☃",
    "lunch bag",
    "x" * 20_000,
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("bundled", "cpu", exact=True)


def test_a_batch_gives_each_text_the_vector_it_has_alone_in_the_order_asked(encoder: Encoder) -> None:
    together = encoder.encode(_TEXTS)
    alone = torch.cat([encoder.encode([text]) for text in _TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(len(_TEXTS)), atol=1e-5)
    assert torch.equal(together[1], together[6])


def test_bfloat16_turns_no_vector_by_more_than_a_degree(encoder: Encoder) -> None:
    half = load_encoder("bundled", "cpu").encode(_TEXTS)
    cosines = (half.double() * encoder.encode(_TEXTS).double()).sum(dim=1)
    assert cosines.min() > math.cos(math.radians(1)), cosines


def test_related_texts_are_nearer_than_unrelated_ones(encoder: Encoder) -> None:
    mug, cup, lamp = encoder.encode(["coffee mug", "tea cup", "street lamp repair manual"])
    assert float(mug @ cup) > float(mug @ lamp) + 0.2


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.width)


_GROWTH = """
import os
from pathlib import Path
from models.encoder.model import load_encoder
from models.kernels.linear import SIZES
def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
encoder = load_encoder("bundled", "cpu")
encoder.encode(["lamp " * 253])
before = anonymous()
for count in SIZES:
    encoder.encode(["lamp " * (count - 2)])
print(len(os.listdir("/proc/self/task")), (anonymous() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="measures memory as Linux tells it")
def test_a_loaded_encoder_meets_no_length_that_costs_it_memory_and_has_started_no_thread() -> None:
    """Kernels made after the fork took 130 to 370 MB in each worker."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", _GROWTH], env=one_thread, capture_output=True, text=True, check=True)
    threads, grown_mb = map(int, done.stdout.split())
    assert threads == 1
    assert grown_mb < 20


_TRANSFORMERS = {  # first six components from transformers 5.17's BertModel, mean pooled and normalised
    "white hanging heart t-light holder": [0.01664, 0.12672, 0.02079, 0.05034, -0.06357, -0.02135],
    "lunch bag": [-0.06863, 0.13906, -0.00093, 0.03247, 0.06383, -0.02051],
    "": [-0.11884, 0.0483, -0.00255, -0.01101, 0.05195, 0.01029],
    "long " * 400: [-0.03374, -0.04158, 0.06168, 0.00103, -0.11218, -0.00457],
}


def test_our_forward_pass_gives_the_values_transformers_gives(encoder: Encoder) -> None:
    vectors = encoder.encode(list(_TRANSFORMERS))[:, :6]
    assert torch.allclose(vectors, torch.tensor(list(_TRANSFORMERS.values())), atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_our_forward_pass_equals_the_installed_transformers(encoder: Encoder) -> None:
    from transformers import AutoModel

    reference = _AutoBackbone(AutoModel.from_pretrained(encoder_folder("bundled")).eval(), torch.device("cpu"))
    other = Encoder("reference", "", reference, encoder._tokenizer, encoder.device)
    assert torch.allclose(other.encode(_TEXTS), encoder.encode(_TEXTS), atol=1e-5)


def test_a_folder_that_is_no_encoder_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"lacks tokenizer\.json, \*\.safetensors"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("device", ["tpu", "cuda:99" if not torch.cuda.is_available() else "gpu"])
def test_a_device_that_is_not_there_is_one_clear_error(device: str) -> None:
    with pytest.raises(ModelError, match="use auto"):
        load_encoder("bundled", device)


def test_texts_are_encoded_once_and_a_damaged_cache_is_encoded_again(
    encoder: Encoder, empty_home: Path, tmp_path: Path
) -> None:
    texts = ["red lamp", "blue cup", "red lamp"]
    steps: list[int] = []
    first = encode_cached(encoder, texts, steps.append)
    assert sum(steps) >= 2
    cache = next((tmp_path / "cache" / "standfast" / "vectors").glob("*.safetensors"))
    written = cache.stat().st_mtime_ns
    assert torch.equal(encode_cached(encoder, texts), first)
    assert cache.stat().st_mtime_ns == written
    more = encode_cached(encoder, [*texts, "green hat"])
    assert torch.equal(more[:3], first)
    cache.write_bytes(b"\0" * 100)
    assert torch.allclose(encode_cached(encoder, texts), first, atol=1e-6)
