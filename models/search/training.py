"""Builds a search model from a shop, and measures the precision in which it will serve."""

from __future__ import annotations

from pathlib import Path

import structlog

from models.data.shop import load_judgements
from models.encoder.model import load_encoder
from models.encoder.precision import MOST_LOST, lost_ndcg
from models.search.model import build_search
from models.training import MetricsAndLineage, Options, Progress, Shop

_log = structlog.get_logger()


def train(shop: Shop, folder: Path, progress: Progress, options: Options) -> MetricsAndLineage:
    """Writes a search model into the folder; its metrics and lineage."""
    progress.phase("measuring the serving precision")
    serving_encoder = load_encoder(shop.encoder.name, options.device)
    lost = lost_ndcg(shop.catalogue.titles, shop.vectors, shop.encoder, serving_encoder)
    exact = lost > MOST_LOST
    if exact:
        _log.warning("bfloat16 costs too much quality: this model serves in float32", lost_ndcg_10=round(lost, 4))
    progress.phase("indexing words")
    model = build_search(
        shop.catalogue,
        shop.vectors,
        shop.encoder,
        folder,
        exact=exact,
        exact_up_to=options.exact_up_to,
        judgements=load_judgements(),
    )
    metrics = {**model, "precision_lost_ndcg_10": round(lost, 4)}
    return metrics, shop.lineage(lexical_weight=str(model["lexical_weight"]))
