"""The search model as it is usually served: with the encoder of transformers, in float32."""

from __future__ import annotations

import torch

from models.encoder.model import Encoder, _AutoBackbone, encoder_folder
from models.search.model import HybridSearch


def usual(model: HybridSearch) -> HybridSearch:
    """The same catalogue, words and ranking with that encoder; takes 11 s, mostly for the import."""
    from transformers import AutoModel

    ours = model._encoder  # noqa: SLF001 - only this comparison takes a model apart
    bert = AutoModel.from_pretrained(encoder_folder(ours.name)).eval().to(ours.device)
    backbone = _AutoBackbone(bert, ours.device, torch.float32)
    theirs = Encoder(ours.name, ours.digest, backbone, ours._tokenizer, ours.device)  # noqa: SLF001
    return HybridSearch(model.label, model._config, model._ranking, model._exact, theirs)  # noqa: SLF001
