"""Refuses answers that no caller may see: what a damaged model, or one that computes nonsense, would hand out.

A refused batch counts as one on which the model has raised (`consumers.serving.breaker`): it is neither published nor
kept in the cache. Checking an answer costs about a microsecond (docs/performance.md), beside a search of milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any

from models.base import Query
from schemas.records import Item
from standfast.core import telemetry


class WrongAnswer(ValueError):
    """A model's answer that no caller may see."""


class OutputGuard:
    """Checks every answer of one model.

    Args:
        service: its name, for the metric.
        model: if it has a method `least(query)`, answers with fewer products than that are refused.
    """

    def __init__(self, service: str, model: Any) -> None:
        self._service = service
        self._least: Callable[[Query], int] = getattr(model, "least", _none)

    def check(self, queries: Sequence[Query], answers: Iterable[Sequence[Item]]) -> None:
        """Raises WrongAnswer for the first answer that is wrong, and counts it."""
        for query, answer in zip(queries, answers, strict=True):
            items = {item.item_id for item in answer}
            count = len(answer)
            is_whole = len(items) == count == getattr(query, "k", count)
            if is_whole and "" not in items and isfinite(sum([item.score for item in answer])):
                continue  # nearly always; whatever else an answer has to say takes longer
            if wrong := self._wrong(query, answer):
                reason, text = wrong
                telemetry.WRONG_ANSWERS.labels(self._service, reason).inc()
                raise WrongAnswer(f"the model gave a wrong answer: {text}")

    def _wrong(self, query: Query, answer: Sequence[Item]) -> tuple[str, str] | None:
        """The reason as the metric has it, and in words; None for a sound answer."""
        for item in answer:
            if not isfinite(item.score):
                return "not_finite", f"a score of {item.score}"
            if not item.item_id:
                return "no_id", "a product without an id"
        items = {item.item_id for item in answer}
        if len(items) != len(answer):
            return "duplicate", f"{len(answer)} products of which only {len(items)} differ"
        k = getattr(query, "k", len(answer))
        if len(answer) > k:
            return "too_many", f"{len(answer)} products where {k} were asked for"
        if len(answer) < k and len(answer) < (least := self._least(query)):
            return "too_few", f"{len(answer)} products where there are {least}"
        return None


def _none(_query: Query) -> int:
    """Whether a model that does not say so has any products is not known."""
    return 0
