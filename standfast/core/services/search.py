"""The search service."""

from __future__ import annotations

from pydantic import Field

from standfast.core.sections import ServiceSettings
from standfast.core.services.spec import ServiceSpec

_EXACT = "largest catalogue in which a query is compared with every product; a larger one is searched by cells"


class SearchSettings(ServiceSettings):
    """The search service."""

    batch: int = Field(32, ge=1, le=1024)
    cache: int = Field(10_000, ge=0, le=1_000_000, description=ServiceSettings.model_fields["cache"].description)
    batch_bytes: int = Field(8192, ge=1, description="most bytes of requests computed at once: about 2,000 tokens")
    max_query_chars: int = Field(2000, ge=1)
    encoder: str = Field("bundled", description="bundled, a local folder, or a hub name")
    exact_up_to: int = Field(200_000, ge=0, description=_EXACT)


SPEC = ServiceSpec(
    name="search",
    about="product search",
    key="request_id or the caller's own",
    settings=SearchSettings,
    request="schemas.records:SearchRequest",
    query="consumers.requests.queries:search",
    model="models.search.model:load_search",
    training="models.search.training:train",
    asked="drills.evidence.shop_words:searches",
    rehearsal=b'{"query": "white hanging heart", "k": 10}',
    rank=1,
)
