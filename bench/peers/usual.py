"""The search model as most would serve it: its encoder through transformers, in float32."""

from __future__ import annotations

import torch

from models.encoder.model import Encoder, _AutoBackbone, encoder_folder
from models.search.model import HybridSearch


def usual(model: HybridSearch) -> HybridSearch:
    """The same catalogue, words and ranking with that encoder; takes 11 s, most of it the import."""
    from transformers import AutoModel

    ours = model._encoder  # noqa: SLF001 - nobody but this comparison takes a model apart
    bert = AutoModel.from_pretrained(encoder_folder(ours.name)).eval().to(ours.device)
    backbone = _AutoBackbone(bert, ours.device, torch.float32)
    theirs = Encoder(ours.name, ours.digest, backbone, ours._tokenizer, ours.device)  # noqa: SLF001
    return HybridSearch(model.label, model._config, model._ranking, model._exact, theirs)  # noqa: SLF001
