"""From a decoded request to its model's query, or the reason why it is refused: one function a service."""

from __future__ import annotations

from consumers.requests.refinements import Wrong, refined
from models.base import RecommendQuery, SearchQuery
from schemas.records import RecommendRequest, SearchRequest
from standfast.core.services.recommend import RecommendSettings
from standfast.core.services.search import SearchSettings


def search(request: SearchRequest, settings: SearchSettings, known: tuple[str, ...]) -> SearchQuery | str:
    """The query of a search; the user's items are not used."""
    del known
    text = request.query.strip()
    limit = settings.max_query_chars
    if not text:
        return "query is empty; send at least one word"
    if len(text) > limit:
        return f"query has {len(text)} characters; it must have at most {limit}"
    try:
        return SearchQuery(text, request.k, request.user_id, refined(request.filters, request.facets, request.explain))
    except Wrong as problem:
        return str(problem)


def recommend(request: RecommendRequest, settings: RecommendSettings, known: tuple[str, ...]) -> RecommendQuery | str:
    """The query of a recommendation; the request's own history comes after the user's known items."""
    limit = settings.max_history
    if len(request.history) > limit:
        return f"history has {len(request.history)} items; it must have at most {limit}"
    try:
        asked = refined(request.filters, [], request.explain)
    except Wrong as problem:
        return str(problem)
    return RecommendQuery(
        user_id=request.user_id,
        k=request.k,
        history=(*known, *request.history),
        exclude_seen=request.exclude_seen,
        refined=asked,
    )
