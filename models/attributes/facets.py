"""Counts the values of an attribute among products: texts one by one, numbers in ranges of about as many each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.attributes.columns import Mask, Numbers
from models.attributes.live import LiveAttributes
from schemas.records import Facet, FacetRange, FacetValue

_VALUES, _RANGES = 50, 5
_SAMPLE = 10_000  # numbers by which ranges are chosen: sorting a million takes 80 ms


def facet(attributes: LiveAttributes, name: str, marked: Mask) -> Facet:
    """The counts of one attribute among the marked products."""
    products = int(marked.sum())
    if isinstance(attributes.trained.by_name[name], Numbers):
        return Facet(count=products, ranges=list(_ranges(attributes.numbers(name, marked))))
    counts = attributes.counts(name, marked)
    best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    values = [FacetValue(value, count) for value, count in best[:_VALUES]]
    return Facet(count=products, values=values, more=len(best) - len(values))


def _ranges(numbers: NDArray[np.float64]) -> Iterator[FacetRange]:
    """Ranges from a number that is there to one that is there, so that a filter by a range finds what is counted."""
    if not len(numbers):
        return
    sample = np.sort(numbers[:: 1 + len(numbers) // _SAMPLE])
    steps = np.linspace(0, len(sample) - 1, _RANGES + 1)[1:-1].astype(np.int64)
    bins = np.unique(sample[steps]).searchsorted(numbers)
    for number in range(_RANGES):
        of_range = numbers[bins == number]
        if len(of_range):
            yield FacetRange(float(of_range.min()), float(of_range.max()), len(of_range))
