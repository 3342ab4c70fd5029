"""From the filters, facets and `explain` of a request to what a model is asked, or why the request is refused.

What only the version that answers can tell, such as an attribute that its products do not have, it tells itself
(`models.attributes.checking`).
"""

from __future__ import annotations

import math

from models.attributes.reading import text_of
from models.base import Filter, Refined
from schemas.records import Filters, Range, Wanted

_MOST_FILTERS, _MOST_VALUES, _MOST_FACETS = 20, 1_000, 20


class Wrong(Exception):
    """A filter or facet that cannot be meant; the text says which, with the remedy."""


def refined(filters: Filters, facets: list[str], explain: bool) -> Refined | None:
    """What the model is asked beside its best products; None for a plain request. Raises Wrong."""
    if not (filters or facets or explain):
        return None
    if len(filters) > _MOST_FILTERS:
        raise Wrong(f"there are {len(filters)} filters; send at most {_MOST_FILTERS}")
    if len(facets) > _MOST_FACETS:
        raise Wrong(f"there are {len(facets)} facets; send at most {_MOST_FACETS}")
    wanted = (_filter(name, value) for name, value in sorted(filters.items()))
    return Refined(tuple(wanted), tuple(dict.fromkeys(facets)), explain)


def _filter(name: str, value: Range | list[Wanted] | Wanted) -> Filter:
    shown = repr(name[:100])
    if isinstance(value, Range):
        return _range(name, shown, value)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise Wrong(f"the filter {shown} has no value, so nothing could be found; give one, or leave the filter out")
    if len(values) > _MOST_VALUES:
        raise Wrong(f"the filter {shown} has {len(values):,} values; send at most {_MOST_VALUES:,}")
    if any(isinstance(each, float) and not math.isfinite(each) for each in values):
        raise Wrong(f"the filter {shown} has a value that is no number (NaN or infinite); give a finite one")
    return Filter(name, values=tuple(sorted(set(map(text_of, values)))))


def _range(name: str, shown: str, value: Range) -> Filter:
    if value.min is None and value.max is None:
        raise Wrong(f'the filter {shown} has neither min nor max; give {{"min": 5}}, {{"max": 20}} or both')
    least, most = (-math.inf if value.min is None else value.min), (math.inf if value.max is None else value.max)
    for bound, given in (("min", value.min), ("max", value.max)):
        if given is not None and not math.isfinite(given):
            raise Wrong(f"the filter {shown} has a {bound} of {given}; give a finite number, or leave {bound} out")
    if least > most:
        raise Wrong(f"the filter {shown} has a min of {least:g} above its max of {most:g}; exchange them")
    return Filter(name, least, most)
