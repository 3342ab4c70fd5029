"""The computation of every peer: our trained model on a batch of requests, so that only the serving differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from bench.peers.task import Task
from bench.requests import Request
from models.base import Model, Query, RecommendQuery, SearchQuery
from schemas.records import Item, Result, SearchRequest
from standfast.core.services import resolved, spec_of


def query(request: Request) -> Query:
    """The model's query for this request."""
    if isinstance(request, SearchRequest):
        return SearchQuery(request.query, request.k, request.user_id)
    return RecommendQuery(request.user_id, request.k, tuple(request.history), request.exclude_seen)


def kind(service: str) -> type[Request]:
    """The request type of a service."""
    return cast("type[Request]", resolved(spec_of(service).request))


def loaded(service: str, device: str, precision: str = "auto", *, as_usual: bool = False) -> Model[Any]:
    """The active model, warm, on one thread, as in a Standfast worker; `as_usual`: with the encoder of transformers."""
    import torch

    from bench.peers.usual import usual
    from models.loading import load
    from models.search.model import HybridSearch

    torch.set_num_threads(1)
    model: Model[Any] = load(service, device=device, precision=precision)
    if as_usual and isinstance(model, HybridSearch):
        model = usual(model)
    model.warm_up()
    return model


class Computing:
    """The model in this process, which turns requests into answers."""

    def __init__(self, task: Task) -> None:
        self._model = loaded(task.service, task.device, task.precision, as_usual=task.as_usual)
        task.computes_here()

    def results(self, requests: Sequence[Request]) -> list[Result]:
        """One answer for each request, in their order."""
        predictions = self._model.predict([query(request) for request in requests])
        return [result(request, items) for request, items in zip(requests, predictions, strict=True)]


class Json:
    """The JSON decoder of requests and encoder of answers."""

    def __init__(self, service: str) -> None:
        self.request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(kind(service))
        self.written = msgspec.json.Encoder().encode


def result(request: Request, items: Sequence[Item]) -> Result:
    """The answer to one request."""
    return Result(request_id=request.request_id or "", status="ok", items=list(items))
