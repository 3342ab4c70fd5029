"""Says what is wrong with the filters and facets of a request, for the version that would answer it."""

from __future__ import annotations

import difflib

from models.attributes.columns import Columns, Numbers, Texts
from models.attributes.reading import number_of
from models.base import Filter, Refined

_LISTED = 20  # names in a message


def refusal(refined: Refined, attributes: Columns | None, label: str) -> str:
    """Why the version `label` with these attributes cannot answer, with the remedy; empty if it can."""
    names = (*(each.attribute for each in refined.filters), *refined.facets)
    if not names:
        return ""
    if attributes is None:
        return (
            f"{label} was trained by a release that kept no attributes of products; train again with "
            f"`standfast models train {label.partition('@')[0]}`, or leave filters and facets out"
        )
    for name in names:
        if name not in attributes.by_name:
            return _unknown(name, attributes)
    problems = (_misfit(each, attributes.by_name[each.attribute]) for each in refined.filters)
    return next(filter(None, problems), "")


def _unknown(name: str, attributes: Columns) -> str:
    shown = repr(name[:100])
    if reason := attributes.left_out.get(name):
        return f"the attribute {shown} cannot be filtered by: {reason}"
    known = sorted(attributes.by_name)
    if not known:
        return f"there is no attribute {shown}; the products had none at the last training"
    nearest = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, 1, 0.5)
    meant = next((each for each in known if nearest and each.lower() == nearest[0]), None)
    listed = ", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "")
    hint = f"the nearest is {meant!r}; " if meant else ""
    return f"there is no attribute {shown}; {hint}there are {listed} (a new one is known after the next training)"


def _misfit(wanted: Filter, column: Numbers | Texts) -> str:
    if isinstance(column, Texts):
        if wanted.values:
            return ""
        why = f", because {column.note}" if column.note else ""
        example = f', as "{column.values[0][:40]}"' if column.values else ""
        return (
            f"the filter {wanted.attribute!r} is a range, but the attribute is text{why}; give one or more of its "
            f"values{example}"
        )
    wrong = next((value for value in wanted.values if number_of(value) is None), None)
    if wrong is None:
        return ""
    return (
        f"the filter {wanted.attribute!r} has the value {wrong[:40]!r}, but the attribute is a number; give a number, "
        '{"min": …}, {"max": …} or both'
    )
